"""Write the page of faults."""

from tests.faults.page import write

write()
