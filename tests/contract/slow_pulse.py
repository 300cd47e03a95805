"""`trunkline` as it is, but nobody asks of their own accord any more who the members are.

Started in place of `python -m trunkline` (`supervised`, `test_upkeep`), so that what is learned was told by somebody.
"""

from trunkline.agent import following
from trunkline.cli import main

NEVER_S = 3600.0

if __name__ == "__main__":
    following.EVERY_S = following.GLANCE_S = NEVER_S
    main()
