"""Initialisations and penalties, right and wrong: 02_3.initialise and 02_3.l1_penalty."""

from __future__ import annotations

import math

import torch
from torch import nn

from course_utils.exercises import ch02_3

WEIGHTED = (nn.Conv2d, nn.Linear)


def every_layer(change):
    def initialise(model):
        for layer in model.modules():
            if isinstance(layer, WEIGHTED):
                change(layer)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    return initialise


@torch.no_grad()
def by_formula(model):
    def one(layer):
        if isinstance(layer, WEIGHTED):
            layer.weight.copy_(
                torch.randn_like(layer.weight) * (2 / layer.weight[0].numel()) ** 0.5
            )
            if layer.bias is not None:
                layer.bias.zero_()

    return model.apply(one)


def with_data(model):
    for layer in model.modules():
        if isinstance(layer, WEIGHTED):
            layer.weight.data.normal_(0, math.sqrt(2 / layer.weight[0].numel()))
            if layer.bias is not None:
                layer.bias.data = torch.zeros_like(layer.bias)


def test_initialise_other_ways(solved):
    solved("02_3.initialise", by_formula, with_data)


def top_layers_only(model):
    for layer in model:
        if isinstance(layer, WEIGHTED):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)


def convolutions_only(model):
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def biases_forgotten(model):
    for layer in model.modules():
        if isinstance(layer, WEIGHTED):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")


def bias_none_forgotten(model):
    for layer in model.modules():
        if isinstance(layer, WEIGHTED):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            layer.bias.data.zero_()


def every_parameter(model):
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu")
        else:
            nn.init.zeros_(parameter)


def one_seed(layer):
    torch.manual_seed(0)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")


def frozen(layer):
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    layer.weight.requires_grad_(False)


def test_initialise_rejects(rejected):
    rejected(
        "02_3.initialise",
        (every_layer(lambda layer: layer.reset_parameters()), "(that is PyTorch's default)"),
        (
            every_layer(lambda layer: nn.init.kaiming_normal_(layer.weight, mode="fan_out")),
            "that is for n_out, the outputs, instead of n_in",
        ),
        (every_layer(lambda layer: nn.init.xavier_normal_(layer.weight)), "Xavier's rule"),
        (
            every_layer(
                lambda layer: nn.init.normal_(layer.weight, 0, 2 / layer.weight[0].numel())
            ),
            "that is the variance",
        ),
        (
            every_layer(
                lambda layer: nn.init.normal_(
                    layer.weight, 0, (2 / layer.weight[0].numel()) ** 0.25
                )
            ),
            "layer 0 (Conv2d)",
        ),
        (every_layer(lambda layer: nn.init.zeros_(layer.weight)), "standard deviation is 0.0"),
        (
            every_layer(
                lambda layer: nn.init.constant_(layer.weight, (2 / layer.weight[0].numel()) ** 0.5)
            ),
            "layer 0 (Conv2d)",
        ),
        (
            every_layer(
                lambda layer: nn.init.normal_(
                    layer.weight, 0.1, (2 / layer.weight[0].numel()) ** 0.5
                )
            ),
            "the weights' mean is",
        ),
        (
            every_layer(lambda layer: nn.init.constant_(layer.weight, float("nan"))),
            "nan or infinity",
        ),
        (every_layer(one_seed), "the same weights"),
        (every_layer(frozen), "no longer require a gradient"),
        (top_layers_only, "layer 2.0 (Conv2d)"),
        (convolutions_only, "layer 5 (Linear)"),
        (biases_forgotten, "a bias is 0.25"),
        (bias_none_forgotten, "AttributeError: 'NoneType'"),
        (every_parameter, "layer 1 (BatchNorm2d)"),
    )


def weights_by_dimension(model):
    return [parameter for parameter in model.parameters() if parameter.dim() > 1]


def by_norm(model):
    return torch.cat([weight.flatten() for weight in weights_by_dimension(model)]).norm(p=1)


def by_loop(model):
    total = torch.zeros(())
    for weight in weights_by_dimension(model):
        total = total + weight.abs().sum()
    return total.reshape(1)


def test_l1_penalty_other_ways(solved):
    solved("02_3.l1_penalty", by_norm, by_loop)


def named_weights(model):
    return [p for name, p in model.named_parameters() if name.endswith("weight")]


def summed(parameters_of, term=lambda p: p.abs().sum()):
    return lambda model: sum(term(parameter) for parameter in parameters_of(model))


def children_only(model):
    return [child.weight for child in model.children() if isinstance(child, WEIGHTED)]


@torch.no_grad()
def without_graph(model):
    return ch02_3.l1_penalty(model)


def test_l1_penalty_rejects(rejected):
    rejected(
        "02_3.l1_penalty",
        (summed(lambda model: model.parameters()), "layers with biases"),
        (summed(lambda model: model.parameters()), "the biases"),
        (summed(named_weights), "a nested network with BatchNorm"),
        (summed(named_weights), "BatchNorm's weights"),
        (summed(children_only), "(nested layers were left out)"),
        (summed(weights_by_dimension, lambda p: p.square().sum()), "that is L2"),
        (summed(weights_by_dimension, lambda p: p.sum()), "|w|"),
        (summed(weights_by_dimension, lambda p: p.abs().mean()), "that is a sum of means"),
        (summed(weights_by_dimension, lambda p: p.abs().sum().item()), "no gradient flows back"),
        (summed(weights_by_dimension, lambda p: p.data.abs().sum()), "no gradient flows back"),
        (without_graph, "no gradient flows back from it"),
        (lambda model: [p.abs().sum() for p in model.parameters()], "a list"),
        (lambda model: next(model.parameters()).abs(), "one number"),
    )


def test_l1_penalty_must_pull_with_the_sign_of_the_weight(rejected):
    def right_value_wrong_gradient(model):
        l2 = sum(weight.square().sum() for weight in weights_by_dimension(model))
        return ch02_3.l1_penalty(model).detach() + l2 - l2.detach()

    rejected("02_3.l1_penalty", (right_value_wrong_gradient, "the derivative of |w|"))
