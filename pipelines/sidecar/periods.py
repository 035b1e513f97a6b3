"""Spans of business dates: what a question without dates means, and which span it is compared with."""

from datetime import date, timedelta
from typing import Literal

from pipelines.core.settings import Settings
from pipelines.sidecar.answers import Strict

DEFAULT_DAYS = 7

Compare = Literal["previous", "same_weekday", "none"]


class Period(Strict):
    """Business dates, both inclusive."""

    from_date: date
    to_date: date

    @property
    def days(self) -> int:
        """How many dates."""
        return (self.to_date - self.from_date).days + 1


def period_of(settings: Settings, from_date: date | None, to_date: date | None) -> Period:
    """The span that is meant: up to today, and seven dates long, unless said otherwise."""
    today = settings.clock().astimezone(settings.business_zone).date()
    last = to_date or max(today, from_date or today)
    first = from_date or _back(last, DEFAULT_DAYS - 1)
    return Period(from_date=first, to_date=last)


def compared_with(period: Period, compare: Compare) -> Period | None:
    """The span of the same length just before, or whole weeks before so that weekdays are the same."""
    if compare == "none":
        return None
    days = period.days if compare == "previous" else 7 * -(-period.days // 7)
    return Period(from_date=_back(period.from_date, days), to_date=_back(period.to_date, days))


def _back(day: date, days: int) -> date:
    """`days` earlier, or the first day that there is."""
    return date.min if (day - date.min).days < days else day - timedelta(days=days)
