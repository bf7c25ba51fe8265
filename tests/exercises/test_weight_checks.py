"""Right and wrong answers to 02_3.initialise and 02_3.l1_penalty."""

from __future__ import annotations

import math

import torch
from torch import nn

from course_utils.exercises import ch02_3

init = nn.init


def he(layer):
    init.kaiming_normal_(layer.weight, nonlinearity="relu")


def every_layer(weight=he, bias=init.zeros_, kinds=(nn.Conv2d, nn.Linear)):
    """An initialisation that calls `weight(layer)` and `bias(layer.bias)`."""

    def initialise(model):
        for layer in model.modules():
            if isinstance(layer, kinds):
                weight(layer)
                if layer.bias is not None:
                    bias(layer.bias)

    return initialise


def normal(std_of, mean=0.0):
    """A normal distribution with the standard deviation `std_of(He's variance)`."""
    return every_layer(
        lambda layer: init.normal_(layer.weight, mean, std_of(2 / layer.weight[0].numel()))
    )


def test_initialise(solved, rejected):
    @torch.no_grad()
    def by_formula(model):
        def one(layer):
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                std = (2 / layer.weight[0].numel()) ** 0.5
                layer.weight.copy_(torch.randn_like(layer.weight) * std)
                if layer.bias is not None:
                    layer.bias.data = torch.zeros_like(layer.bias)

        return model.apply(one)

    def top_layers_only(model):
        for layer in model:
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                every_layer()(layer)

    def every_parameter(model):
        for parameter in model.parameters():
            if parameter.dim() > 1:
                init.kaiming_normal_(parameter, nonlinearity="relu")
            else:
                init.zeros_(parameter)

    def one_seed(layer):
        torch.manual_seed(0)
        he(layer)

    def frozen(layer):
        he(layer)
        layer.weight.requires_grad_(False)

    def bias_none_forgotten(layer):
        he(layer)
        layer.bias.data.zero_()

    def fan_out(layer):
        init.kaiming_normal_(layer.weight, mode="fan_out")

    def uniform(layer):
        init.kaiming_uniform_(layer.weight, nonlinearity="relu")

    def signs(layer):
        std = (2 / layer.weight[0].numel()) ** 0.5
        layer.weight.data = std * torch.randn_like(layer.weight).sign()

    def one_kernel_for_all(layer):
        he(layer)
        layer.weight.data[:] = layer.weight.data[:1].clone()

    def new_parameter(layer):
        he(layer)
        layer.weight = nn.Parameter(layer.weight.detach().clone())

    def without_bias(layer):
        he(layer)
        layer.bias = None

    def and_reset(*kinds):
        def initialise(model):
            every_layer()(model)
            for layer in model.modules():
                if isinstance(layer, kinds):
                    layer.reset_parameters()

        return initialise

    def off_by_one(step):
        return every_layer(
            lambda layer: init.normal_(
                layer.weight, 0, (2 / (layer.weight[0].numel() + step)) ** 0.5
            )
        )

    def statistics_only(model):
        every_layer()(model)
        model[1].reset_running_stats()

    def and_eval(model):
        every_layer()(model)
        model.eval()

    solved("02_3.initialise", by_formula, normal(math.sqrt))
    rejected(
        "02_3.initialise",
        (every_layer(uniform), "distribution is uniform"),
        (every_layer(signs), "distribution is not normal"),
        (every_layer(one_kernel_for_all), "layer 0 (Conv2d)"),
        (every_layer(new_parameter), "its weight is another tensor now"),
        (every_layer(without_bias), "its bias is another tensor now"),
        (and_reset(nn.BatchNorm2d), "layer 1 (BatchNorm2d): its weight has changed from 0.25 to 1"),
        (and_reset(nn.GroupNorm), "layer 2.1 (GroupNorm): its weight"),
        (statistics_only, "layer 1 (BatchNorm2d): its running_mean"),
        (and_eval, "eval mode"),
        (off_by_one(1), "a first layer of a grey image"),
        (off_by_one(-1), "a first layer of a grey image"),
    )
    rejected(
        "02_3.initialise",
        (every_layer(lambda layer: layer.reset_parameters()), "(that is PyTorch's default)"),
        (every_layer(fan_out), "that is for n_out, the outputs, instead of n_in"),
        (every_layer(lambda layer: init.xavier_normal_(layer.weight)), "Xavier's rule"),
        (normal(lambda variance: variance), "that is the variance"),
        (normal(lambda variance: variance**0.25), "layer 0 (Conv2d)"),
        (every_layer(lambda layer: init.zeros_(layer.weight)), "standard deviation is 0.0"),
        (normal(math.sqrt, mean=0.1), "the weights' mean is"),
        (every_layer(lambda layer: init.constant_(layer.weight, math.nan)), "nan or infinity"),
        (every_layer(one_seed), "the same weights"),
        (every_layer(frozen), "no longer require a gradient"),
        (top_layers_only, "layer 2.0 (Conv2d)"),
        (every_layer(kinds=nn.Conv2d), "layer 5 (Linear)"),
        (every_layer(bias=lambda bias: None), "a bias is 0.25"),
        (every_layer(bias_none_forgotten), "AttributeError: 'NoneType'"),
        (every_parameter, "layer 1 (BatchNorm2d)"),
    )


def weights_by_dimension(model):
    return [parameter for parameter in model.parameters() if parameter.dim() > 1]


def named_weights(model):
    return [p for name, p in model.named_parameters() if name.endswith("weight")]


def children_only(model):
    return [layer.weight for layer in model if isinstance(layer, (nn.Conv2d, nn.Linear))]


def summed(parameters_of=weights_by_dimension, term=lambda p: p.abs().sum()):
    return lambda model: sum(term(parameter) for parameter in parameters_of(model))


def test_l1_penalty(solved, rejected):
    def by_norm(model):
        return torch.cat([weight.flatten() for weight in weights_by_dimension(model)]).norm(p=1)

    def right_value_wrong_gradient(model):
        l2 = summed(term=lambda p: p.square().sum())(model)
        return ch02_3.l1_penalty(model).detach() + l2 - l2.detach()

    solved("02_3.l1_penalty", by_norm, lambda model: summed()(model).reshape(1))
    rejected(
        "02_3.l1_penalty",
        (summed(nn.Module.parameters), "layers with biases"),
        (summed(nn.Module.parameters), "the biases"),
        (summed(named_weights), "a nested network with BatchNorm"),
        (summed(named_weights), "BatchNorm's weights"),
        (summed(children_only), "(nested layers were left out)"),
        (summed(term=lambda p: p.square().sum()), "that is L2"),
        (summed(term=lambda p: p.sum()), "|w|"),
        (summed(term=lambda p: p.abs().mean()), "that is a sum of means"),
        (summed(term=lambda p: p.abs().sum().item()), "no gradient flows back"),
        (torch.no_grad()(ch02_3.l1_penalty), "no gradient flows back from it"),
        (right_value_wrong_gradient, "the derivative of |w|"),
        (lambda model: [p.abs().sum() for p in model.parameters()], "a list"),
        (lambda model: next(model.parameters()).abs(), "one number"),
    )
