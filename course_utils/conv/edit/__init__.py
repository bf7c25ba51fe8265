"""Change one convolution of any network; all layers that are coupled to it follow.

Used by notebooks 03.2, 03.3 and 04.1.
"""

from __future__ import annotations

from course_utils.core.lazy import export_lazily

__all__ = export_lazily(
    __name__,
    {
        "adapter": "AdaptedConv2d",
        "coupling": "channel_table",
        "deepen": "deepen ResidualConv2d",
        "draft": "EditError",
        "edit": "edit_conv unwrapped",
        "editor": "ConvEditor",
        "narrow": "channel_groups ChannelGroup narrow",
        "report": "EditReport LayerChange relative_change ROUNDING",
        "scale": "ALL_LAYERS scale_width",
        "settings": "CHANGEABLE simple_settings",
    },
)
