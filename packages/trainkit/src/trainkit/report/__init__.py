"""`report.html`: what a run did, or how several compare, on one page that needs no network."""

from trainkit.report.page import write_report

__all__ = ["write_report"]
