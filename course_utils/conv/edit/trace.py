"""The record of one run of a network: which channels each parameter produces and consumes.

`tracer` runs the network and fills a `Trace`; every activation carries *labels* (see `labels`), one
number for each channel. The trace keeps them per parameter axis: axis 0 of a convolution's weight
has the labels of the channels that it produces, axis 1 those that it consumes, the vectors of a
BatchNorm those that pass through. It also keeps what the labels have to do with each other:

- *coupled* labels are one and the same channel (the two sides of a sum, say): it is kept, copied
  or dropped at all places at once. All labels that are coupled, directly or through others, are
  one *class*;
- labels with *coupled widths* only have to stay equally many (the groups of a convolution, the
  heads of an attention);
- *fixed* labels cannot change in number (the network's input, or an operation that is not known).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from course_utils.conv.edit.labels import Labels
from course_utils.conv.edit.reshapes import Reshape
from course_utils.conv.example import Call
from course_utils.core import CourseError

Pair = tuple[Tensor, Tensor]


class Axis(NamedTuple):
    """One dimension of a parameter or buffer."""

    parameter: str
    dim: int


class Trace:
    """The record of one run of a network.

    Args:
        tensors: name -> tensor of every parameter and buffer of the model that runs.
        before: the trace of the same network before its widths changed. A layer then accepts what
            arrives where only the number of pixels has changed, and depthwise layers stay so.

    Attributes:
        axes: parameter axis -> labels in its slots, (groups, n). Axes with the same slots, such as
            those of the four vectors of a BatchNorm, have the same tensor.
        grids: axis -> (H, W) of the maps that were flattened before they reached it.
        consumers: axes that are summed over, so the copies of a channel share its weight.
        spread: how often a single channel has met several.
        parts: labels of each part of a tensor that a split or slice has cut off.
        layouts: axis -> each set of dimensions along which its channels lay in an activation, with
            the number of pixels there.
        reshapes: each reshape in which channels took part: its blocks, and both shapes.
        depthwise: weights of convolutions with one input channel per group -> outputs per input.
        couplings: pairs of label vectors that are the same channels.
        width_couplings: pairs of label vectors that must change in equal number.
        fixed: (labels, name of the operation) that cannot change in number.
        output_labels, output_shapes: of all tensors that leave the network. A size is None where it
            depends on numbers (of boxes that were found, say).
        input_shapes: weight -> shapes of the inputs of its layer.
        label_count: number of labels, 0 included.
        pads: whether some operation padded a tensor.
        operation: name of the operation that runs now.
        bare_norm: the normalisation without parameters that runs now.
        shuffle: the `nn.ChannelShuffle` that runs now.
        bare_widths: (such a normalisation or shuffle, the number of its channels).
        training_call: the arguments of the run in training mode, if it was needed and succeeded.
        tensors: those of the model, under their names. Their shapes are those of the run.
    """

    def __init__(self, tensors: dict[str, Tensor], before: Trace | None = None):
        self.before = before
        self.axes: dict[Axis, Tensor] = {}
        self.grids: dict[Axis, tuple[int, int]] = {}
        self.consumers: set[Axis] = set()
        self.spread = 0
        self.parts: list[Tensor] = []
        self.layouts: dict[Axis, tuple[frozenset[tuple[int, int]], ...]] = {}
        self.reshapes: list[Reshape] = []
        self.depthwise: dict[str, int] = {}
        self.couplings: list[Pair] = []
        self.width_couplings: list[Pair] = []
        self.fixed: list[tuple[Tensor, str]] = []
        self.output_labels: list[Tensor] = []
        self.output_shapes: list[tuple[int | None, ...]] = []
        self.input_shapes: dict[str, list[tuple[int, ...]]] = {}
        self.label_count = 1
        self.pads = False
        self.operation = ""
        self.bare_norm: nn.Module | None = None
        self.shuffle: nn.Module | None = None
        self.bare_widths: list[tuple[nn.Module, int]] = []
        self.training_call: Call | None = None
        self._names = {id(t): name for name, t in tensors.items()}
        self.tensors = tensors  # an id is valid only while its tensor lives
        self._parameter_labels: dict[str, tuple[Labels, ...]] = {}
        self._slots: dict[tuple, Tensor] = {}
        self._slot_classes: dict[int, np.ndarray] = {}

    def record(self) -> dict[str, Any]:
        """Return all that the trace has written down so far, which what follows does not change."""
        lists = {name: list(shapes) for name, shapes in self.input_shapes.items()}
        kept = {
            n: v.copy() if isinstance(v, (list, dict, set)) else v for n, v in vars(self).items()
        }
        return kept | {"input_shapes": lists}

    # Labels of tensors

    def name_of(self, tensor: Tensor) -> str:
        """Return the name of a parameter or buffer; "" for any other tensor."""
        return self._names.get(id(tensor), "")

    def labels_of(self, tensor: Tensor) -> tuple[Labels, ...]:
        """Return the labels of an activation or parameter, each along dimensions of its own."""
        name = self.name_of(tensor)
        if not name:
            return getattr(tensor, "_channel_labels", ())
        if name not in self._parameter_labels:  # a parameter that is used by itself: layer scale
            former = self.before.axes if self.before is not None else ()
            self._parameter_labels[name] = tuple(
                Labels.of(self.produced(Axis(name, d), n), d, tensor.ndim)
                for d, n in enumerate(tensor.shape)
                if (n > 1 or Axis(name, d) in former) and tensor.is_floating_point()
            )
        return self._parameter_labels[name]

    def set_labels(
        self, tensor: Tensor, labels: tuple[Labels, ...], like: Tensor | None = None
    ) -> None:
        """Label a tensor; `like` is the one from which it was computed, number by number."""
        tensor._channel_labels = labels
        if hasattr(like, "_grid"):
            tensor._grid = like._grid

    def produced(self, axis: Axis, n: int) -> Tensor:
        """Return the labels that a parameter axis produces; new ones at its first use."""
        if axis not in self.axes:
            self.set_slots(axis, torch.arange(self.label_count, self.label_count + n).unsqueeze(0))
            self.label_count += n
        return self.axes[axis].reshape(-1)

    def labels_along(self, tensor: Tensor, dim: int, axis: Axis | None = None) -> Tensor | None:
        """Return the labels along one dimension, (n,); None if there are none.

        Args:
            axis: of the parameter that meets these channels.

        Raises:
            CourseError: if the channels reach the axis in another way than before it changed.
        """
        size, dim = tensor.shape[dim], dim % tensor.ndim - tensor.ndim
        for labels in self.labels_of(tensor):
            if dim in labels.dims or (size == 1 and not labels.dims):
                if axis is not None and axis.parameter:
                    self._note_layout(axis, labels, dim)
                for other in labels.dims:  # one slot sees all labels of another dimension
                    if other != dim:
                        labels = self.couple_along(labels, other)
                return labels.vector
        return None

    def labels_not_along(self, tensor: Tensor, dim: int) -> tuple[Labels, ...]:
        """Return the labels that do not lie along `dim`, which counts from the last."""
        return tuple(x for x in self.labels_of(tensor) if x.dims and dim not in x.dims)

    def note_reshape(self, reshape: Reshape) -> None:
        """Note a reshape of channels.

        Raises:
            CourseError: if before the widths changed, it did something else with the channels.
        """
        former = self.before.reshapes[len(self.reshapes) :] if self.before is not None else ()
        self.reshapes.append(reshape)
        if former and not reshape.does_as(former[0]):
            raise CourseError(
                f"Its channels reach {reshape.operation!r} with sizes that fit their present"
                f" number only: {reshape.old} would become {reshape.new}."
            )

    def _note_layout(self, axis: Axis, labels: Labels, dim: int) -> None:
        """Note where channels lie; dimensions behind `dim`, those of pixels, keep their size."""
        sizes = {d: labels.numbers.shape[d] for d in labels.dims}
        lie = frozenset((d, n if d > dim else 0) for d, n in sizes.items())
        if self.before is None:
            self.layouts[axis] = (*self.layouts.get(axis, ()), lie)
        elif former := self.before.layouts.get(axis, ()):
            large = {(d, n) for d, n in lie if sizes[d] > 1}
            if not any(large <= known for known in former):
                raise CourseError(
                    f"Some channels would become pixels or pictures before {axis.parameter}:"
                    " a reshape has their number as a fixed size."
                )

    def source_parameter(self, tensor: Tensor, dim: int) -> str:
        """Return the parameter whose axis `dim` a weight has; "" if there is none.

        It is the weight itself, or the parameter from which the weight is computed (by weight
        normalisation or standardisation).
        """
        if name := self.name_of(tensor):
            return name
        labels = self.labels_along(tensor, dim)
        if labels is None:
            return ""
        for axis, slots in self.axes.items():
            same_size = axis.dim == dim and slots.numel() == labels.numel()
            if same_size and torch.equal(slots.reshape(-1), labels):
                return axis.parameter
        return ""

    # Writing down what labels have to do with each other

    def couple(self, a: Tensor, b: Tensor) -> None:
        """Note that two tensors of labels are the same channels, one by one."""
        if a is not b:
            self.couplings.append((a.reshape(-1), b.reshape(-1)))

    def couple_along(self, labels: Labels, dim: int) -> Labels:
        """Couple all labels that lie along `dim` at the same place; return the first of each."""
        first = labels.first_along(dim)
        self.couple(labels.numbers, first.numbers.expand_as(labels.numbers))
        return first

    def couple_widths(self, numbers: Tensor, dim: int) -> None:
        """Note that the parts along `dim` stay equally wide: groups, heads, halves."""
        first = numbers.narrow(dim, 0, 1).expand_as(numbers)
        self.width_couplings.append((numbers.reshape(-1), first.reshape(-1)))

    def fix(self, labels: Iterable[Labels | Tensor]) -> tuple[()]:
        """Note that these channels cannot change in number; return no labels."""
        vectors = (x.vector if isinstance(x, Labels) else x.reshape(-1) for x in labels)
        self.fixed += [(vector, self.operation) for vector in vectors]
        return ()

    def couple_or_fix(self, a: Tensor | None, b: Tensor | None) -> None:
        """Couple two vectors of labels; where one is missing, fix the other."""
        if a is not None and b is not None:
            self.couple(a, b)
        else:
            self.fix(x for x in (a, b) if x is not None)

    def bind(self, parameter: Tensor, dim: int, slots: Tensor) -> None:
        """Note that channels meet the axis `dim` of a parameter; `slots` has their labels.

        They are (n,), or (groups, n).
        """
        axis = Axis(self.source_parameter(parameter, dim), dim)
        if slots.ndim == 1:
            slots = slots.unsqueeze(0)
        if not axis.parameter:
            self.fix([slots])
        elif axis not in self.axes or (len(slots) > 1 and len(self.axes[axis]) == 1):
            self.set_slots(axis, slots)
        else:
            self.couple(self.axes[axis], slots)

    def set_slots(self, axis: Axis, slots: Tensor) -> None:
        """Note the labels in the slots of an axis, (groups, n)."""
        place = (slots.data_ptr(), slots.shape, slots.stride())
        self.axes[axis] = self._slots.setdefault(place, slots)

    # Reading the finished record

    @cached_property
    def classes(self) -> np.ndarray:
        """Number of the class of every label, (labels,)."""
        return self._components(*self._coupled)

    @cached_property
    def width_classes(self) -> np.ndarray:
        """As `classes`, but all that must change in equal number is one class."""
        if not self.width_couplings:
            return self.classes
        pairs = zip(self._coupled, _in_one(self.width_couplings), strict=True)
        return self._components(*map(np.concatenate, pairs))

    def axis_classes(self, axis: Axis) -> np.ndarray:
        """Return the classes in the slots of a parameter axis, (groups, n), to read only."""
        slots = self.axes[axis]
        if id(slots) not in self._slot_classes:
            self._slot_classes[id(slots)] = self.classes[slots.numpy()]
        return self._slot_classes[id(slots)]

    def fixed_classes(self, classes: np.ndarray) -> np.ndarray:
        """Return for every class whether it is fixed; `classes` is one of the two above."""
        result = np.zeros(classes.max() + 1, dtype=bool)
        result[classes[0]] = True
        for labels in [x for x, _ in self.fixed] + self.output_labels:
            result[classes[labels.numpy()]] = True
        a, b = self._coupled  # what is coupled with "no channel" is fixed
        result[classes[a[b == 0]]] = result[classes[b[a == 0]]] = True
        return result

    @cached_property
    def _coupled(self) -> tuple[np.ndarray, np.ndarray]:
        return _in_one(self.couplings)

    def _components(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Number the connected components of a graph whose edges are pairs of labels."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        real = (a > 0) & (b > 0)  # label 0 stands for "no channel", so it couples nothing
        a, b = a[real], b[real]
        graph = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(self.label_count,) * 2)
        return connected_components(graph, directed=False)[1].astype(np.int64)


def _in_one(pairs: list[Pair]) -> tuple[np.ndarray, np.ndarray]:
    """Return all first vectors of some pairs one after the other, and all second ones."""
    none = np.zeros(0, dtype=np.int64)
    return tuple(
        np.concatenate([none, *(x.numpy() for x in side)])
        for side in ((a for a, _ in pairs), (b for _, b in pairs))
    )
