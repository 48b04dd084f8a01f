"""The configured swap areas: their places, their headers, and which index of the kernel's table each has."""

from __future__ import annotations

from errno import EINVAL

from numa_sim.config.disk import ZramDrive
from numa_sim.config.model import Config
from numa_sim.config.swap import Swap, SwapFile
from numa_sim.errors import ConfigError, SwapError
from numa_sim.kernel.swap_header import V1_MAX_PAGES, SwapHeader, decode
from numa_sim.kernel.swapon import SWAP_FLAG_PREFER, sys_swapon
from numa_sim.observe.inputs import read_input_page
from numa_sim.observe.result import InputFile, SwapArea
from numa_sim.state.constants import PAGE_SIZE, SWP_WRITEOK, WRITEPAGE_ASYNC, WRITEPAGE_SYNC
from numa_sim.state.kernel import Kernel


class SwapAreas:
    """Swap areas by the names the configuration gives them.

    Parameters
    ----------
    k : Kernel
        A booted machine without swap.
    config : Config
        Its configuration; areas with ``on = true`` are switched on, in their order.
    files : mapping of str to int
        Mappings of the machine's files.
    """

    def __init__(self, k: Kernel, config: Config, files: dict[str, int]) -> None:
        self.kernel = k
        self.names = config.machine.swap_names()
        self.types: dict[str, int] = {}
        self.inputs: list[InputFile] = []
        self._config = config
        self._areas = dict(zip(self.names, config.machine.swap, strict=True))
        self._places = dict(zip(self.names, config.machine.placing().swap, strict=True))
        self._files = files
        self._map_starts: dict[str, int] = {}
        self._latest: dict[int, str] = {}  # of each index, the area that had it last
        start = 0
        for name in self.names:
            self._map_starts[name] = start
            start += self._places[name].blocks
        self._headers = {name: self._header(name, area) for name, area in self._areas.items()}
        for name, area in self._areas.items():
            if area.on:
                self.on(name, area.priority)

    def on(self, name: str, priority: int | None = None, privileged: bool = True) -> int:
        """Switch an area on; its index.  Raises `SwapError` (see `sys_swapon`)."""
        area, place = self._areas[name], self._places[name]
        model = self._config.machine.placing().drives[place.disk].model
        ram = isinstance(model, ZramDrive)
        type_ = sys_swapon(
            self.kernel,
            self._headers[name],
            place.blocks,
            0 if priority is None else SWAP_FLAG_PREFER | priority,
            privileged=privileged,
            writepage=WRITEPAGE_SYNC if ram else WRITEPAGE_ASYNC,
            sync_ns=model.latency if isinstance(model, ZramDrive) else 0,
            device=place.disk,
            start_block=place.block,
            file=self._files[area.file] if isinstance(area, SwapFile) else 0,
            map_start=self._map_starts[name],
        )
        self.types[name] = type_
        self._latest[type_] = name
        return type_

    def type_of(self, name: str) -> int:
        """Index of an area that is on.

        Raises
        ------
        SwapError
            EINVAL: it is not on, or is being switched off.
        """
        type_ = self.types.get(name)
        if type_ is None or self.kernel.swap_info[type_].flags != SWP_WRITEOK:
            raise SwapError(EINVAL, f"swapoff: area {name!r} is not on")
        return type_

    def is_gone(self, name: str) -> None:
        """The area has been switched off."""
        del self.types[name]

    def check(self, name: str, what: str) -> None:
        """Raise `ConfigError` if there is no area of that name."""
        if name not in self._areas:
            raise ConfigError(
                "", what, f"there is no swap area {name!r}", self.names or ("no [[machine.swap]] is given",)
            )

    def names_by_index(self) -> list[str]:
        """Name of the area that has each index, or had it last."""
        return [area.name for area in self.described()]

    def described(self) -> tuple[SwapArea, ...]:
        """Name and device of each index's area, the latest if it had several."""
        return tuple(
            SwapArea(name, self._areas[name].device)
            for name in (self._latest[type_] for type_ in range(len(self._latest)))
        )

    def _header(self, name: str, area: Swap) -> SwapHeader:
        """What the first page of the area says."""
        pages = self._places[name].blocks
        if area.image is not None:
            return self._header_of_image(name, area.image)
        slots = min(pages, V1_MAX_PAGES) if area.header == 1 else pages
        bad = tuple(sorted(set(area.bad)))
        index = self.names.index(name)
        if bad and bad[-1] >= pages:
            raise ConfigError("", f"machine.swap[{index}].bad", f"page {bad[-1]}", (f"1 to {pages - 1}",))
        while area.header == 1 and slots - 1 in bad:
            slots -= 1
        return SwapHeader(area.header, slots, tuple(page for page in bad if page < slots))

    def _header_of_image(self, name: str, image: str) -> SwapHeader:
        where = f"machine.swap[{self.names.index(name)}].image"
        path = self._config.place(image)
        try:
            header_page, page = read_input_page(self._config, image, PAGE_SIZE)
        except OSError as problem:
            raise ConfigError(
                "", where, f"cannot read {path}: {problem.strerror}", ("a file mkswap has written",)
            ) from None
        self.inputs.append(header_page)
        try:
            header = decode(page)
        except SwapError as problem:
            raise ConfigError("", where, f"{path}: {problem}", ("a file mkswap has written",)) from None
        return header
