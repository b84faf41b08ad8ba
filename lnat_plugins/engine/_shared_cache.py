"""Keys and values of what was read, which the attention of packed runs looks at.

They lie in room set aside beforehand, so that a long run that is read in pieces copies nothing and
holds nothing twice.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import DynamicCache


class SharedCache(DynamicCache):
    """A cache whose passes add to it only while `keep` is true.

    Attention gets a pass's own keys and values only; it finds the others here.
    """

    keep = True

    def __init__(self) -> None:
        super().__init__()
        self._rooms: dict[int, tuple[Tensor, Tensor]] = {}

    def reserve(self, length: int) -> None:
        """Sets room aside for this many tokens in all, those that are there included."""
        layer: Any
        for index, layer in enumerate(self.layers):
            used = layer.get_seq_length()
            rooms = self._rooms.get(index)
            if used and (rooms is None or rooms[0].shape[-2] < length):
                self._rooms[index] = (_moved(layer.keys, length), _moved(layer.values, length))
                layer.keys, layer.values = (room[..., :used, :] for room in self._rooms[index])

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Adds them if they are to be kept, and hands them on alone."""
        added = self.keep and self._add(key_states, value_states, layer_idx)
        if not added and (self.keep or layer_idx >= len(self.layers)):
            super().update(key_states, value_states, layer_idx, *args, **kwargs)
        return key_states, value_states

    def _add(self, key_states: Tensor, value_states: Tensor, index: int) -> bool:
        """Whether there was room for them."""
        if index not in self._rooms:
            return False
        keys, values = self._rooms[index]
        layer: Any = self.layers[index]
        begin = layer.get_seq_length()
        end = begin + key_states.shape[-2]
        if end > keys.shape[-2]:
            return False
        keys[..., begin:end, :] = key_states
        values[..., begin:end, :] = value_states
        layer.keys, layer.values = keys[..., :end, :], values[..., :end, :]
        return True


def _moved(states: Tensor, length: int) -> Tensor:
    room = states.new_empty(*states.shape[:-2], length, states.shape[-1])
    room[..., : states.shape[-2], :] = states
    return room
