"""What `edit_conv` promises: obeyed settings, kept functions, and words for the rest."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.conv import AdaptedConv2d, EditError, ImpossibleSetting, edit_conv
from course_utils.models.simple import SimpleCNN


class Residual(nn.Module):
    """A stem, a block whose output is added to it, and a classifier."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.inner = nn.Conv2d(8, 12, 1)
        self.outer = nn.Conv2d(12, 8, 3, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.norm(self.stem(x)).relu()
        x = x + self.outer(self.inner(x).relu())
        return self.head(x.mean((2, 3)))


@pytest.fixture
def model() -> Residual:
    torch.manual_seed(0)
    model = Residual().eval()
    model.norm.running_mean.normal_()
    model.norm.running_var.uniform_(0.5, 2)
    return model


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(1))


def difference(before: nn.Module, after: nn.Module, pictures: torch.Tensor) -> float:
    with torch.no_grad():
        a, b = before(pictures), after(pictures)
    return float((a - b).abs().max() / a.abs().max())


# What keeps the function


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("stem", {"out_channels": 16}),
        ("stem", {"out_channels": 11}),
        ("outer", {"out_channels": 9}),
        ("inner", {"out_channels": 40}),
        ("stem", {"kernel_size": 5}),
        ("stem", {"kernel_size": (3, 7)}),
        ("stem", {"kernel_size": 4}),
        ("inner", {"kernel_size": 3}),
        ("stem", {"out_channels": 10, "kernel_size": 5}),
    ],
)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_a_larger_layer_computes_the_same(model, pictures, name, changes):
    edited = edit_conv(model, name, example_input=pictures, **changes)
    assert difference(model, edited, pictures) < 1e-5
    assert edited(pictures).shape == (2, 5)


def test_a_bias_changes_nothing_at_first():
    model = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.Flatten(), nn.Linear(2 * 16, 3))
    pictures = torch.randn(2, 1, 6, 6)
    edited = edit_conv(model, "0", example_input=pictures, bias=True)
    assert edited[0].bias.tolist() == [0, 0]
    assert torch.equal(edited(pictures), model(pictures))


def test_fewer_groups_compute_the_same():
    model = nn.Sequential(nn.Conv2d(8, 16, 3, groups=4), nn.AdaptiveAvgPool2d(1))
    pictures = torch.randn(2, 8, 5, 5)
    for groups in (1, 2):
        edited = edit_conv(model, "0", example_input=pictures, groups=groups)
        assert edited[0].groups == groups
        assert difference(model, edited, pictures) < 1e-5


# Who follows


def test_who_is_added_and_who_reads_follows(model, pictures):
    edited = edit_conv(model, "outer", example_input=pictures, out_channels=20)
    assert edited.stem.out_channels == edited.outer.out_channels == 20
    assert edited.inner.in_channels == edited.head.in_features == edited.norm.num_features == 20
    assert edited.inner.out_channels == 12


@pytest.mark.parametrize("name", ["stem", "inner", "outer"])
def test_a_single_channel_is_followed(model, pictures, name):
    narrow = edit_conv(model, name, example_input=pictures, out_channels=1)
    assert not any(isinstance(m, AdaptedConv2d) for m in narrow.modules())
    assert narrow.get_submodule(name).out_channels == 1
    wide = edit_conv(narrow, name, example_input=pictures, out_channels=8)
    assert not any(isinstance(m, AdaptedConv2d) for m in wide.modules())
    assert difference(narrow, wide, pictures) < 1e-5


def test_the_pixels_of_a_single_channel_are_followed():
    model = SimpleCNN()
    narrow = edit_conv(model, "conv2", out_channels=1)
    assert narrow.classifier.in_features == 7 * 7
    assert narrow(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert edit_conv(narrow, "conv2", out_channels=3).classifier.in_features == 3 * 7 * 7


def test_a_single_channel_over_all_others_stays_single(pictures):
    class Spatial(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 3, padding=1)
            self.gate = nn.Conv2d(8, 1, 3, padding=1)

        def forward(self, x):
            x = self.stem(x)
            return (x * self.gate(x).sigmoid()).mean((2, 3))

    model = Spatial()
    assert edit_conv(model, "stem", example_input=pictures, adapter=False, kernel_size=5)
    with pytest.raises(EditError, match="gate"):
        edit_conv(model, "gate", example_input=pictures, adapter=False, out_channels=2)


def test_channels_that_are_written_into_a_part_of_a_tensor_stay(pictures):
    class Writes(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(6, 2, 1)

        def forward(self, x):
            padded = x.new_zeros(len(x), 6, *x.shape[2:])
            padded[:, :4] = self.stem(x)  # would also accept a single channel, four times
            return self.head(padded).mean((2, 3))

    with pytest.raises(EditError, match="__setitem__"):
        edit_conv(Writes(), "stem", example_input=pictures, adapter=False, out_channels=1)


def test_fewer_channels_keep_the_kernels_with_the_largest_norm(pictures):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3))
    norms = model[0].weight.abs().sum((1, 2, 3))
    kept = norms.topk(4).indices.sort().values
    edited = edit_conv(model, "0", example_input=pictures, out_channels=4)
    assert torch.equal(edited[0].weight, model[0].weight[kept])
    assert torch.equal(edited[2].weight, model[2].weight[:, kept])


def test_the_reader_may_say_what_is_important(pictures):
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3))
    order = torch.tensor([0.0, 9, 1, 8, 2, 7])
    edited = edit_conv(
        model, "0", example_input=pictures, out_channels=3, importance=lambda weight: order
    )
    assert torch.equal(edited[0].weight, model[0].weight[[1, 3, 5]])


def test_a_depthwise_layer_stays_depthwise():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1), nn.Flatten(2)
    )
    pictures = torch.randn(2, 3, 6, 6)
    edited = edit_conv(model, "1", example_input=pictures, out_channels=12)
    assert edited[0].out_channels == edited[1].groups == edited[1].in_channels == 12
    assert difference(model, edited, pictures) < 1e-5


def test_groups_that_are_asked_for_are_obeyed_with_other_channels():
    model = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1))
    edited = edit_conv(model, "0", example_input=torch.zeros(1, 8, 5, 5), out_channels=16, groups=4)
    assert (edited[0].in_channels, edited[0].out_channels, edited[0].groups) == (8, 16, 4)


def test_a_linear_layer_behind_flatten_takes_the_pixels_that_are_left():
    model = SimpleCNN()
    edited = edit_conv(model, "conv2", stride=2)
    assert edited.classifier.in_features == 32 * 3 * 3
    assert not isinstance(edited.conv2, AdaptedConv2d)
    # Each remaining pixel keeps the weights of the pixel that it stands for, scaled to their number
    old = model.classifier.weight.reshape(10, 32, 7, 7)
    new = edited.classifier.weight.reshape(10, 32, 3, 3)
    assert torch.allclose(new, old[..., [0, 2, 4], :][..., [0, 2, 4]] * (49 / 9))


@pytest.mark.parametrize("between", [nn.Dropout(0.5), nn.BatchNorm1d(4 * 36), nn.Softplus()])
def test_fewer_pixels_and_more_channels_at_once(between):
    model = nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), between, nn.Linear(4 * 36, 3))
    ).eval()
    picture = torch.randn(2, 1, 6, 6)
    edited = edit_conv(model, "0", example_input=picture, stride=2, out_channels=6, adapter=False)
    assert edited[3].in_features == 6 * 9
    assert edited(picture).shape == (2, 3)


def test_adaptive_pooling_takes_any_size(model, pictures):
    edited = edit_conv(model, "stem", example_input=pictures, stride=2)
    assert not any(isinstance(layer, AdaptedConv2d) for layer in edited.modules())
    assert edited(pictures).shape == (2, 5)


# Adapters


def test_a_sum_that_no_longer_fits_gets_its_former_size_back(model, pictures):
    edited, report = edit_conv(model, "outer", example_input=pictures, stride=2, return_report=True)
    assert report.adapters == ("outer",)
    assert edited.outer.stride == (2, 2)
    assert edited.outer(torch.zeros(1, 12, 9, 9)).shape == (1, 8, 9, 9)
    assert edited(torch.randn(1, 3, 14, 14)).shape == (1, 5)  # at any other size, too


class Heads(nn.Module):
    """A convolution whose channels an attention fixes."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 4, stride=4)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        return self.attention(x, x, x, need_weights=False)[0].mean((1, 2))


@pytest.mark.parametrize("channels", [16, 10, 5])
def test_channels_that_cannot_follow_get_a_projection(channels):
    torch.manual_seed(0)
    model, pictures = Heads().eval(), torch.randn(2, 1, 16, 16)
    edited = edit_conv(model, "patches", example_input=pictures, out_channels=channels)
    assert isinstance(edited.patches, AdaptedConv2d)
    assert edited.patches.weight.shape == (channels, 1, 4, 4)
    if channels >= 8:
        assert difference(model, edited, pictures) < 1e-5
    with pytest.raises(EditError, match="multi_head_attention_forward"):
        edit_conv(model, "patches", example_input=pictures, out_channels=channels, adapter=False)


def test_an_adapted_layer_can_be_edited_again():
    torch.manual_seed(0)
    model, pictures = Heads().eval(), torch.randn(2, 1, 16, 16)
    once = edit_conv(model, "patches", example_input=pictures, out_channels=12)
    twice = edit_conv(once, "patches", example_input=pictures, out_channels=20)
    assert twice.patches.project.in_channels == 20
    assert difference(model, twice, pictures) < 1e-5


def test_groups_are_obeyed_where_a_projection_is_needed():
    model = Heads()
    model.patches = nn.Conv2d(2, 8, 4, stride=4)
    edited = edit_conv(
        model, "patches", example_input=torch.zeros(1, 2, 16, 16), out_channels=16, groups=2
    )
    assert edited.patches.groups == 2
    assert edited(torch.randn(1, 2, 16, 16)).shape == (1,)


# Padding


@pytest.mark.parametrize(
    ("layer", "changes", "padding"),
    [
        (nn.Conv2d(1, 2, 3, padding=1), {"kernel_size": 7}, (3, 3)),
        (nn.Conv2d(1, 2, 3, padding=1), {"dilation": 2}, (2, 2)),
        (nn.Conv2d(1, 2, 3), {"kernel_size": 5}, (1, 1)),
        (nn.Conv2d(1, 2, 3, padding=1), {"kernel_size": 4}, "same"),
        (nn.Conv2d(1, 2, 3, padding=1), {"kernel_size": 5, "padding": 0}, (0, 0)),
        (nn.Conv2d(1, 2, 3, padding="same"), {"kernel_size": 5}, "same"),
        (nn.Conv2d(1, 2, 5), {"kernel_size": 3}, (0, 0)),
        (nn.Conv2d(1, 2, 3, padding=1), {"stride": 2}, (1, 1)),
    ],
)
def test_padding_keeps_the_size_unless_it_is_given(layer, changes, padding):
    model = nn.Sequential(layer, nn.AdaptiveAvgPool2d(1))
    edited = edit_conv(model, "0", example_input=torch.zeros(1, 1, 12, 12), **changes)
    assert edited[0].padding == padding


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular", "zeros"])
@pytest.mark.parametrize("padding", [2, (1, 3), "same"])
def test_padding_modes_work_like_a_layer_built_with_them(mode, padding):
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.AdaptiveAvgPool2d(1))
    picture = torch.randn(1, 1, 8, 8)
    edited = edit_conv(
        model, "0", example_input=picture, padding=padding, padding_mode=mode, kernel_size=5
    )
    fresh = nn.Conv2d(1, 2, 5, padding=padding, padding_mode=mode)
    fresh.load_state_dict(edited[0].state_dict())
    assert torch.equal(edited[0](picture), fresh(picture))


def test_the_padding_of_a_layer_that_pads_its_input_itself_is_counted_once(pictures):
    circular = nn.Conv2d(3, 2, 7, padding=3, padding_mode="circular")
    model = nn.Sequential(circular, nn.AdaptiveAvgPool2d(1))
    with pytest.raises(ImpossibleSetting) as caught:  # not of 9 + 2 · 3 pixels
        edit_conv(model, "0", example_input=pictures, padding=10)
    assert caught.value.nearest == {"padding": 9}
    edited = edit_conv(model, "0", example_input=pictures, padding=-1)  # crops the picture
    assert edited[0](pictures).shape == (2, 2, 1, 1)


# What stays as it was


def test_the_original_is_not_touched(model, pictures):
    before = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    random = torch.random.get_rng_state()
    edited = edit_conv(model, "stem", example_input=pictures, out_channels=20, stride=2)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), random)
    with torch.no_grad():
        for parameter in edited.parameters():
            parameter.zero_()
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_modes_gradients_and_dtype_are_kept(pictures):
    model = Residual().double().train()
    model.stem.requires_grad_(False)
    edited = edit_conv(model, "stem", example_input=pictures.double(), out_channels=10)
    assert edited.training
    assert not edited.stem.weight.requires_grad
    assert edited.outer.weight.requires_grad
    assert {p.dtype for p in edited.parameters()} == {torch.float64}


def test_the_layout_in_memory_is_kept(model, pictures):
    model = model.to(memory_format=torch.channels_last)
    edited = edit_conv(model, "stem", example_input=pictures, out_channels=10, kernel_size=5)
    for layer in (edited.stem, edited.inner, edited.outer):
        assert layer.weight.is_contiguous(memory_format=torch.channels_last)


def test_shared_weights_stay_shared(pictures):
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 1)
            self.twice = nn.Conv2d(4, 4, 3, padding=1)
            self.again = self.twice
            self.head = nn.Conv2d(4, 2, 1)

        def forward(self, x):
            return self.head(self.again(self.twice(self.stem(x)).relu())).mean((2, 3))

    model = Shared()
    edited = edit_conv(model, "twice", example_input=pictures, out_channels=6)
    assert edited.twice is edited.again
    assert edited.stem.out_channels == 6
    assert difference(model, edited, pictures) < 1e-5


def test_an_edited_network_trains(model, pictures):
    edited = edit_conv(model, "outer", example_input=pictures, out_channels=12, stride=2)
    edited.train()(pictures).square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in edited.parameters())


def test_the_meta_device_is_enough():
    with torch.device("meta"):
        model = Residual()
    edited = edit_conv(model, "stem", out_channels=16)
    assert edited.stem.weight.shape == (16, 3, 3, 3)
    assert all(p.is_meta for p in edited.parameters())


def test_a_model_that_looks_at_numbers_is_followed(pictures):
    class Looks(Residual):
        def forward(self, x):
            return super().forward(x if x.sum().item() < 1e9 else -x)

    torch.manual_seed(0)
    model = Looks().eval()
    edited = edit_conv(model, "stem", example_input=pictures, out_channels=16)
    assert difference(model, edited, pictures) < 1e-5


def test_the_output_is_refused_in_a_model_that_looks_at_numbers(pictures):
    class Looks(nn.Sequential):
        def forward(self, x):
            return super().forward(x if x.sum().item() < 1e9 else -x).mean((2, 3))

    with pytest.raises(EditError, match="classes"):
        edit_conv(Looks(nn.Conv2d(3, 5, 1)), "0", example_input=pictures, out_channels=7)


def test_without_an_example_the_usual_sizes_are_tried():
    assert edit_conv(SimpleCNN(), "conv1", out_channels=20).conv2.in_channels == 20
    assert edit_conv(SimpleCNN(3, image_size=32), "conv1", out_channels=4).conv2.in_channels == 4
    with pytest.raises(EditError, match="example_input"):
        edit_conv(SimpleCNN(image_size=41), "conv1", out_channels=4)


def test_heads_that_only_train_are_followed():
    class Auxiliary(Residual):
        def __init__(self):
            super().__init__()
            self.side = nn.Conv2d(8, 2, 1)

        def forward(self, x):
            main = super().forward(x)
            if not self.training:
                return main
            return main, self.side(self.stem(x)).mean((2, 3))

    model = Auxiliary().eval()
    edited = edit_conv(model, "stem", example_input=torch.zeros(2, 3, 9, 9), out_channels=12)
    assert edited.side.in_channels == 12
    edited.train()(torch.randn(2, 3, 9, 9))


# What cannot be done


def test_the_output_is_refused(model, pictures):
    classifier = nn.Sequential(nn.Conv2d(3, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(EditError, match="network's output"):
        edit_conv(classifier, "0", example_input=pictures, out_channels=7)


def test_an_unknown_layer_lists_those_that_are_close(model):
    with pytest.raises(EditError, match=r"no layer in this model\. Close to it: stem"):
        edit_conv(model, "sten", out_channels=3)
    with pytest.raises(EditError, match="Linear, not a Conv2d"):
        edit_conv(model, "head", out_channels=3)


def test_an_unknown_argument_is_named(model, pictures):
    with pytest.raises(ValueError, match="Did you mean kernel_size"):
        edit_conv(model, "stem", example_input=pictures, kernelsize=3)
    with pytest.raises(ValueError, match="out_channels"):
        edit_conv(model, "stem", example_input=pictures, in_channels=3)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("stem", {"groups": 2}),
        ("stem", {"out_channels": 0}),
        ("inner", {"groups": 5}),
        ("outer", {"kernel_size": 13, "padding": 0}),
        ("stem", {"stride": 0}),
        ("stem", {"padding": 40, "padding_mode": "reflect"}),
        ("stem", {"padding": "same", "stride": 2}),
        ("stem", {"padding": "like"}),
        ("stem", {"padding_mode": "mirror"}),
    ],
)
def test_impossible_settings_come_with_the_nearest_that_works(model, pictures, name, changes):
    with pytest.raises(ImpossibleSetting) as caught:
        edit_conv(model, name, example_input=pictures, **changes)
    nearest = caught.value.nearest
    assert nearest
    assert "in_channels" not in nearest
    edit_conv(model, name, example_input=pictures, **(changes | nearest))


def test_a_computed_weight_is_refused(pictures):
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.ReLU())
    with pytest.raises(EditError, match="computed"):
        edit_conv(model, "0", example_input=pictures, kernel_size=5)


def test_the_window_over_a_computed_weight_can_change(pictures):
    norm = nn.utils.parametrizations.weight_norm
    model = nn.Sequential(norm(nn.Conv2d(3, 4, 3)), nn.AdaptiveAvgPool2d(2))
    edited = edit_conv(model, "0", example_input=pictures, stride=2, padding=1)
    assert edited[0].stride == (2, 2)
    assert torch.equal(edited[0].weight, model[0].weight)


@pytest.mark.parametrize(
    ("norm", "said"),
    [
        (nn.InstanceNorm2d(4), "num_features"),
        (nn.GroupNorm(2, 4, affine=False), "num_channels"),
        (nn.BatchNorm2d(4, affine=False, track_running_stats=False), "num_features"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_normalisation_without_parameters_follows(pictures, norm, said):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.Conv2d(4, 2, 1))
    edited = edit_conv(model, "0", example_input=pictures, out_channels=8)
    assert getattr(edited[1], said) == 8
    assert edited(pictures).shape == model(pictures).shape
    assert getattr(model[1], said) == 4
    assert not edited[1]._forward_pre_hooks


def test_a_layer_norm_without_parameters_follows(pictures):
    class Last(nn.LayerNorm):
        def forward(self, x):
            return super().forward(x.movedim(1, -1)).movedim(-1, 1)

    model = nn.Sequential(nn.Conv2d(3, 4, 3), Last(4, elementwise_affine=False), nn.Conv2d(4, 2, 1))
    edited = edit_conv(model, "0", example_input=pictures, out_channels=8)
    assert edited[1].normalized_shape == (8,)
    assert difference(model, edited, pictures) < 1e-4  # all channels twice: the same mean


def test_a_layer_with_a_forward_of_its_own_keeps_it(pictures):
    class Standardised(nn.Conv2d):
        """Qiao et al. 2019; it looks at its own numbers, as some libraries' do."""

        def forward(self, x):
            rows = self.weight.reshape(self.out_channels, -1)
            rows = (rows - rows.mean(1, keepdim=True)) / rows.std(1, keepdim=True)
            return F.conv2d(
                x, rows.reshape(self.weight.shape), self.bias, self.stride, self.padding
            )

    class Picky(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = Standardised(3, 4, 3)

        def forward(self, x):
            return self.conv(x)[:, torch.tensor([2, 0])].mean((2, 3))

    torch.manual_seed(0)
    chain = nn.Sequential(Standardised(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))
    edited = edit_conv(chain, "0", example_input=pictures, out_channels=8)
    assert type(edited[0]) is Standardised
    assert difference(chain, edited, pictures) < 1e-5
    model = Picky()
    edited = edit_conv(model, "conv", example_input=pictures, out_channels=8)
    assert isinstance(edited.conv, AdaptedConv2d)
    assert isinstance(edited.conv, Standardised)
    assert difference(model, edited, pictures) < 1e-5


def test_an_adapted_layer_can_be_pickled(pictures):
    model = Heads()
    edited = edit_conv(model, "patches", out_channels=12, example_input=torch.zeros(1, 1, 16, 16))
    again = pickle.loads(pickle.dumps(edited.patches))
    pictures = torch.randn(1, 1, 16, 16)
    assert torch.equal(again(pictures), edited.patches(pictures))


def test_layers_around_a_computed_weight_follow(pictures):
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 6, 3)),
        nn.Conv2d(6, 2, 1),
    )
    edited = edit_conv(model, "0", example_input=pictures, out_channels=8)
    assert edited[1].weight.shape == (6, 8, 3, 3)
    assert edited(pictures).shape == model(pictures).shape


def test_what_is_not_used_is_said(pictures):
    class Idle(Residual):
        def __init__(self):
            super().__init__()
            self.idle = nn.Conv2d(3, 4, 3)

    with pytest.raises(EditError, match="not used"):
        edit_conv(Idle(), "idle", example_input=pictures, out_channels=8)


def test_option_a_shortcuts_pad_with_channels_that_stay():
    class OptionA(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(1, 4, 3, padding=1)
            self.down = nn.Conv2d(4, 8, 3, stride=2, padding=1)
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            x = self.stem(x).relu()
            shortcut = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
            return self.head((self.down(x) + shortcut).mean((2, 3)))

    torch.manual_seed(0)
    model, pictures = OptionA(), torch.randn(2, 1, 8, 8)
    edited = edit_conv(model, "down", example_input=pictures, out_channels=12)
    assert edited.stem.out_channels == 8  # 2 + 8 + 2
    assert difference(model, edited, pictures) < 1e-5
