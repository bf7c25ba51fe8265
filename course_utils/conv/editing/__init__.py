"""One edit of one convolution, in any network: what is coupled to it follows."""

from __future__ import annotations

from course_utils.conv.editing.adapter import AdaptedConv2d
from course_utils.conv.editing.chain import ConvEditor
from course_utils.conv.editing.channels import channel_table
from course_utils.conv.editing.edit import EditError, edit_conv
from course_utils.conv.editing.inventory import list_convs
from course_utils.conv.editing.report import EditReport, LayerChange

__all__ = [
    "AdaptedConv2d",
    "ConvEditor",
    "EditError",
    "EditReport",
    "LayerChange",
    "channel_table",
    "edit_conv",
    "list_convs",
]
