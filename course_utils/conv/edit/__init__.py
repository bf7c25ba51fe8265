"""One edit of one convolution, in any network: what is coupled to it follows.

Used by notebooks 03.2 and 03.3.
"""

from __future__ import annotations

from course_utils.core.lazy import public_names

__all__ = public_names(
    __name__,
    {
        "adapter": "AdaptedConv2d",
        "channels": "channel_table",
        "deepen": "deepen ResidualConv2d",
        "edit": "edit_conv EditError",
        "editor": "ConvEditor",
        "inventory": "list_convs",
        "report": "EditReport LayerChange relative_change ROUNDING",
        "settings": "CHANGEABLE simple_settings",
    },
)
