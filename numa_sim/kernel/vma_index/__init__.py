"""How an address space finds the area of an address: list, AVL tree, red-black tree, per-thread cache (spec 8.1, 10.5).

The areas of an address space are always on a list, in order of their addresses.  Above it lies the index that
``vm.vma_index`` names; each must give the same areas, and only the steps differ (counter ``find_vma_steps``).
`numa_sim.kernel.vma_index.areas` has the interface: `find_vma`, `find_vma_prev`, `link_area`, `unlink_area`.
"""
