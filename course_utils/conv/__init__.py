"""Convolution, from the sliding window to the layer: sizes, costs, kernels, and one layer live."""

from __future__ import annotations

from course_utils.conv.arithmetic import (
    ImpossibleSetting,
    conv2d_multiply_adds,
    conv2d_parameters,
    conv2d_shape,
    linear_multiply_adds,
    linear_parameters,
    output_size,
    pool2d_shape,
    same_padding,
    size_formula,
)
from course_utils.conv.deepen import ResidualConv2d, deepen
from course_utils.conv.editing import (
    AdaptedConv2d,
    ConvEditor,
    EditError,
    EditReport,
    LayerChange,
    channel_table,
    edit_conv,
    list_convs,
)
from course_utils.conv.kernels import PRESETS, filter_image, is_signed
from course_utils.conv.lab import ConvResult, ConvSettings, build_and_run
from course_utils.conv.receptive import ReceptiveField, receptive_field
from course_utils.conv.rules import PADDING_MODES
from course_utils.conv.sliding import Step, convolve, cross_correlate, sliding_steps
from course_utils.conv.table import LayerRow, as_frame, layer_table

__all__ = [
    "PADDING_MODES",
    "PRESETS",
    "AdaptedConv2d",
    "ConvEditor",
    "ConvResult",
    "ConvSettings",
    "EditError",
    "EditReport",
    "ImpossibleSetting",
    "LayerChange",
    "LayerRow",
    "ReceptiveField",
    "ResidualConv2d",
    "Step",
    "as_frame",
    "build_and_run",
    "channel_table",
    "conv2d_multiply_adds",
    "conv2d_parameters",
    "conv2d_shape",
    "convolve",
    "cross_correlate",
    "deepen",
    "edit_conv",
    "filter_image",
    "is_signed",
    "layer_table",
    "linear_multiply_adds",
    "linear_parameters",
    "list_convs",
    "output_size",
    "pool2d_shape",
    "receptive_field",
    "same_padding",
    "size_formula",
    "sliding_steps",
]
