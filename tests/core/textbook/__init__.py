"""The venue as a textbook keeps it: an independent, naive model of what Ringfence must decide.

Written from the design pages with average-price bookkeeping in fractions: entry price, realised and
unrealised profit, collateral, settled funding.  It knows nothing of the sums, keys and indexes of
the engine; where the two agree after every event, both are probably right.
"""

from tests.core.textbook.statement import statement
from tests.core.textbook.venue import Venue

__all__ = ["Venue", "statement"]
