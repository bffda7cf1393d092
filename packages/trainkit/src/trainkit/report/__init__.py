"""`report.html`: what a run did, or how several compare, on one page that needs no network."""

from trainkit.report.page import write_report
from trainkit.report.run_record import RunRecord, read_run

__all__ = ["RunRecord", "read_run", "write_report"]
