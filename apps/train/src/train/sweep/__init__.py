"""Many runs that differ in a few fields, and one table and one picture of them."""

from train.sweep.plan import Plan, Point, read_plan
from train.sweep.table import Outcome

__all__ = ["Outcome", "Plan", "Point", "read_plan"]
