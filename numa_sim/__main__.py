"""``python -m numa_sim`` is ``numa-sim``."""

from numa_sim.cli.app import main

if __name__ == "__main__":
    main()
