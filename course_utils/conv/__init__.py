"""Convolution: output sizes and costs, classic kernels, the sliding window, and single layers.

Used by notebooks 01 to 03.2. `course_utils.conv.edit` changes a layer of an existing network.
"""

from __future__ import annotations

from course_utils.core.lazy import export_lazily

__all__ = export_lazily(
    __name__,
    {
        "arithmetic": (
            "conv2d_multiply_adds conv2d_parameters conv2d_shape output_size pool2d_shape "
            "same_padding size_formula"
        ),
        "effective_field": "effective_receptive_field EffectiveField",
        "edit.adapter": "AdaptedConv2d",
        "edit.coupling": "channel_table",
        "edit.deepen": "deepen ResidualConv2d",
        "edit.draft": "EditError",
        "edit.edit": "edit_conv unwrapped",
        "edit.editor": "ConvEditor",
        "edit.narrow": "channel_groups ChannelGroup narrow",
        "edit.report": "EditReport LayerChange relative_change ROUNDING",
        "edit.scale": "ALL_LAYERS scale_width",
        "edit.settings": "CHANGEABLE simple simple_settings",
        "blocks": "collapsed CollapsedGraph",
        "graph": "network_graph NetworkGraph Node",
        "example": "Call ways_to_call",
        "factorise": "bottleneck separable",
        "impossible": "ImpossibleSetting nearest_settings",
        "kernels": "box_blur filter_image is_signed laplacian PRESETS sharpen sobel",
        "layer_table": "as_frame layer_table LayerRow list_convs",
        "one_layer": "build_and_run ConvResult ConvSettings INITIALISATIONS",
        "receptive_field": "receptive_field ReceptiveField",
        "rules": "PADDING_MODES window_rules",
        "silence": "kernel_order ORDERS silence_kernels SilencedCopy",
        "sliding": "ChannelSteps convolve cross_correlate SlidingSteps WindowStep",
    },
)
