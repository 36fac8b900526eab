"""Calls that read the market: price, book, trades, bars, interruptions by volatility, holidays."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.doubles.kis.access import Keys
from tests.doubles.kis.answers import Answer, field_error
from tests.doubles.kis.charts import Charts
from tests.doubles.kis.clock import DoubleClock
from tests.doubles.kis.days import SATURDAY, Days, date_of
from tests.doubles.kis.frames import session_code, sign_of
from tests.doubles.kis.market import KRX, NXT, Listing, Market, Quotes
from tests.doubles.kis.paging import Pager
from tests.doubles.kis.rest import Call, Fields
from tests.doubles.kis.settings import Settings

AT = "/uapi/domestic-stock/v1/quotations/"
DIVISIONS = {"J": KRX, "NX": NXT, "UN": KRX}
CODE = ("FID_COND_MRKT_DIV_CODE", "FID_INPUT_ISCD")
DAILY_ROWS, MINUTE_ROWS, TRADE_ROWS, HOLIDAY_ROWS = 100, 30, 30, 24
HOLIDAY_DAYS = 48
LEVELS = 10


class QuoteCalls:
    """What customers ask about the market."""

    def __init__(
        self, market: Market, charts: Charts, pager: Pager, days: Days, clock: DoubleClock, settings: Settings
    ) -> None:
        self._market, self._charts, self._pager = market, charts, pager
        self._days, self._clock, self._settings = days, clock, settings

    def calls(self) -> list[Call]:
        """Return the calls that this room answers."""
        vi = (
            "FID_DIV_CLS_CODE", "FID_COND_SCR_DIV_CODE", "FID_MRKT_CLS_CODE", "FID_INPUT_ISCD",
            "FID_RANK_SORT_CLS_CODE", "FID_INPUT_DATE_1", "FID_TRGT_CLS_CODE", "FID_TRGT_EXLS_CLS_CODE",
        )  # fmt: skip
        vi_empty = ("FID_INPUT_ISCD", "FID_TRGT_CLS_CODE", "FID_TRGT_EXLS_CLS_CODE")
        minute = (*CODE, "FID_INPUT_HOUR_1", "FID_PW_DATA_INCU_YN", "FID_ETC_CLS_CODE")
        daily = (*CODE, "FID_INPUT_DATE_1", "FID_INPUT_DATE_2", "FID_PERIOD_DIV_CODE", "FID_ORG_ADJ_PRC")
        return [
            _call("inquire-price", "FHKST01010100", CODE, self.price),
            _call("inquire-asking-price-exp-ccn", "FHKST01010200", CODE, self.book),
            _call("inquire-ccnl", "FHKST01010300", CODE, self.trades),
            _call("inquire-time-itemconclusion", "FHPST01060000", (*CODE, "FID_INPUT_HOUR_1"), self.trades_until),
            _call("inquire-time-itemchartprice", "FHKST03010200", minute, self.minutes, ("FID_ETC_CLS_CODE",)),
            _call("inquire-daily-itemchartprice", "FHKST03010100", daily, self.daily),
            _call("inquire-vi-status", "FHPST01390000", vi, self.interruptions, vi_empty),
            Call(
                "GET",
                AT + "chk-holiday",
                ("CTCA0903R",),
                (),
                ("BASS_DT", "CTX_AREA_NK", "CTX_AREA_FK"),
                self.holidays,
                ("CTX_AREA_NK", "CTX_AREA_FK"),
            ),
        ]

    def _found(self, fields: Fields) -> tuple[Listing, Quotes, str]:
        venue = DIVISIONS.get(fields["FID_COND_MRKT_DIV_CODE"])
        if venue is None:
            raise field_error("OPSQ2001", "ERROR INVALID FID_COND_MRKT_DIV_CODE")
        listing = self._market.listings.get(fields["FID_INPUT_ISCD"])
        if listing is None:
            raise field_error("OPSQ2002", "ERROR INVALID FID_INPUT_ISCD")
        return listing, listing.at(venue), venue

    # -- now ---------------------------------------------------------------------------------------------------

    def price(self, keys: Keys, fields: Fields, tr_cont: str, tr_id: str) -> Answer:
        """Return price, band and flags of a name."""
        listing, quotes, _ = self._found(fields)
        low, high = listing.band
        price = quotes.last or listing.base
        output = {
            "iscd_stat_cls_code": "58" if listing.halted else listing.status,
            "marg_rate": "20.00",
            "rprs_mrkt_kor_name": listing.board,
            "temp_stop_yn": "Y" if listing.halted and self._settings.halt_in_temp_stop else "N",
            "oprc_rang_cont_yn": "N",
            "clpr_rang_cont_yn": "N",
            "stck_prpr": str(price),
            **_change(listing, price),
            "acml_tr_pbmn": str(quotes.amount),
            "acml_vol": str(quotes.volume),
            "stck_oprc": str(quotes.open),
            "stck_hgpr": str(quotes.high),
            "stck_lwpr": str(quotes.low),
            "stck_mxpr": str(high),
            "stck_llam": str(low),
            "stck_sdpr": str(listing.base),
            "wghn_avrg_stck_prc": f"{quotes.amount / max(1, quotes.volume):.2f}",
            "aspr_unit": str(listing.step(price)),
            "hts_deal_qty_unit_val": "1",
            "lstn_stcn": "5919637922",
            "stck_shrn_iscd": listing.code,
            "vi_cls_code": listing.vi,
            "ovtm_vi_cls_code": "N",
            "invt_caful_yn": "Y" if listing.status in CAUTIONS else "N",
            "mrkt_warn_cls_code": WARNINGS.get(listing.status, "00"),
            "short_over_yn": "Y" if listing.status == "59" or listing.single_price else "N",
            "sltr_yn": "N",
            "mang_issu_cls_code": "Y" if listing.status == "51" else "N",
        }
        return Answer({"output": output})

    def book(self, keys: Keys, fields: Fields, tr_cont: str, tr_id: str) -> Answer:
        """Return ten levels of each side, and what an auction would give."""
        listing, quotes, _ = self._found(fields)
        output1: dict[str, str] = {"aspr_acpt_hour": self._clock.hms}
        for side, levels in (("askp", quotes.asks), ("bidp", quotes.bids)):
            whole = [*levels[:LEVELS], *[(0, 0)] * (LEVELS - len(levels))]
            for place, (price, qty) in enumerate(whole, 1):
                output1[f"{side}{place}"] = str(price)
                output1[f"{side}_rsqn{place}"] = str(qty)
                output1[f"{side}_rsqn_icdc{place}"] = "0"
            output1[f"total_{side}_rsqn"] = str(sum(qty for _, qty in levels))
            output1[f"total_{side}_rsqn_icdc"] = "0"
        output1["ntby_aspr_rsqn"] = str(int(output1["total_bidp_rsqn"]) - int(output1["total_askp_rsqn"]))
        output1["new_mkop_cls_code"] = session_code(self._clock.hms)[0]
        expected, qty = quotes.expected
        output2 = {
            "antc_mkop_cls_code": "",
            "stck_prpr": str(quotes.last or listing.base),
            "stck_oprc": str(quotes.open),
            "stck_hgpr": str(quotes.high),
            "stck_lwpr": str(quotes.low),
            "stck_sdpr": str(listing.base),
            "antc_cnpr": str(expected),
            "antc_cntg_vrss_sign": sign_of(listing, expected),
            "antc_cntg_vrss": str(expected - listing.base),
            "antc_cntg_prdy_ctrt": f"{(expected - listing.base) * 100 / listing.base:.2f}",
            "antc_vol": str(qty),
            "stck_shrn_iscd": listing.code,
            "vi_cls_code": listing.vi,
        }
        return Answer({"output1": output1, "output2": output2})

    def trades(self, keys: Keys, fields: Fields, tr_cont: str, tr_id: str) -> Answer:
        """Return the last trades, newest first."""
        listing, quotes, _ = self._found(fields)
        rows = [
            {
                "stck_cntg_hour": one.time,
                "stck_prpr": str(one.price),
                **_change(listing, one.price),
                "cntg_vol": str(one.qty),
                "tday_rltv": "100.00",
            }
            for one in list(quotes.tape)[: -TRADE_ROWS - 1 : -1]
        ]
        return Answer({"output": rows})

    def trades_until(self, keys: Keys, fields: Fields, tr_cont: str, tr_id: str) -> Answer:
        """Return the last trades up to a time, newest first."""
        listing, quotes, _ = self._found(fields)
        until = [one for one in quotes.tape if one.time <= fields["FID_INPUT_HOUR_1"]]
        rows = [
            {
                "stck_cntg_hour": one.time,
                "stck_pbpr": str(one.price),
                **_change(listing, one.price),
                "askp": "0",
                "bidp": "0",
                "tday_rltv": "100.00",
                "acml_vol": str(one.volume),
                "cnqn": str(one.qty),
            }
            for one in until[: -TRADE_ROWS - 1 : -1]
        ]
        price = quotes.last or listing.base
        output1 = {
            "stck_prpr": str(price),
            **_change(listing, price),
            "acml_vol": str(quotes.volume),
            "prdy_vol": "0",
            "rprs_mrkt_kor_name": listing.board,
        }
        return Answer({"output1": output1, "output2": rows})

    def interruptions(self, keys: Keys, fields: Fields, tr_cont: str, tr_id: str) -> Answer:
        """Return interruptions by volatility of a day, newest first."""
        if fields["FID_COND_SCR_DIV_CODE"] != "20139":
            raise field_error("OPSQ2001", "ERROR INVALID FID_COND_SCR_DIV_CODE")
        rows = [
            {
                "hts_kor_isnm": self._market[one.code].name,
                "mksc_shrn_iscd": one.code,
                "vi_cls_code": "N" if one.ended != "000000" else "Y",
                "bsop_date": one.day,
                "cntg_vi_hour": one.began,
                "vi_cncl_hour": one.ended,
                "vi_kind_code": one.kind,
                "vi_prc": str(one.price),
                "vi_stnd_prc": str(one.reference),
                "vi_dprt": f"{(one.price - one.reference) * 100 / one.reference:.2f}",
                "vi_dmc_stnd_prc": "0",
                "vi_dmc_dprt": "0.00",
                "vi_count": str(sum(other.code == one.code and other.day == one.day for other in self._market.vis)),
            }
            for one in reversed(self._market.vis)
            if one.day == fields["FID_INPUT_DATE_1"]
            and fields["FID_INPUT_ISCD"] in ("", one.code)
            and fields["FID_RANK_SORT_CLS_CODE"] in ("0", one.kind)
        ]
        return Answer({"output": rows})

    # -- bars --------------------------------------------------------------------------------------------------

    def daily(self, keys: Keys, fields: Fields, tr_cont: str, tr_id: str) -> Answer:
        """Return up to 100 daily bars, newest first: those next to the end of the time that was asked for."""
        listing, quotes, _ = self._found(fields)
        if fields["FID_PERIOD_DIV_CODE"] != "D":
            raise field_error("OPSQ2001", "ERROR INVALID FID_PERIOD_DIV_CODE")
        bars = self._charts.daily(
            listing.code,
            fields["FID_INPUT_DATE_1"],
            fields["FID_INPUT_DATE_2"],
            adjusted=fields["FID_ORG_ADJ_PRC"] == "0",
        )[:DAILY_ROWS]
        rows = [
            {
                "stck_bsop_date": bar.name,
                "stck_clpr": str(bar.close),
                "stck_oprc": str(bar.open),
                "stck_hgpr": str(bar.high),
                "stck_lwpr": str(bar.low),
                "acml_vol": str(bar.volume),
                "acml_tr_pbmn": str(bar.amount),
                "flng_cls_code": "00",
                "prtt_rate": "0.00",
                "mod_yn": "N",
                "prdy_vrss_sign": "3",
                "prdy_vrss": "0",
                "revl_issu_reas": "",
            }
            for bar in bars
        ]
        return Answer({"output1": self._summary(listing, quotes), "output2": rows})

    def minutes(self, keys: Keys, fields: Fields, tr_cont: str, tr_id: str) -> Answer:
        """Return up to 30 bars of today's minutes that began by a time, newest first."""
        listing, quotes, venue = self._found(fields)
        bars = [one for one in self._charts.minutes(listing.code, venue) if one.name <= fields["FID_INPUT_HOUR_1"]]
        rows = [
            {
                "stck_bsop_date": self._clock.day,
                "stck_cntg_hour": bar.name,
                "stck_prpr": str(bar.close),
                "stck_oprc": str(bar.open),
                "stck_hgpr": str(bar.high),
                "stck_lwpr": str(bar.low),
                "cntg_vol": str(bar.volume),
                "acml_tr_pbmn": str(bar.amount),
            }
            for bar in bars[:MINUTE_ROWS]
        ]
        return Answer({"output1": self._summary(listing, quotes), "output2": rows})

    def _summary(self, listing: Listing, quotes: Quotes) -> dict[str, str]:
        low, high = listing.band
        price = quotes.last or listing.base
        return {
            **_change(listing, price),
            "stck_prdy_clpr": str(listing.base),
            "acml_vol": str(quotes.volume),
            "acml_tr_pbmn": str(quotes.amount),
            "hts_kor_isnm": listing.name,
            "stck_prpr": str(price),
            "stck_shrn_iscd": listing.code,
            "stck_mxpr": str(high),
            "stck_llam": str(low),
            "stck_oprc": str(quotes.open),
            "stck_hgpr": str(quotes.high),
            "stck_lwpr": str(quotes.low),
        }

    # -- days --------------------------------------------------------------------------------------------------

    def holidays(self, keys: Keys, fields: Fields, tr_cont: str, tr_id: str) -> Answer:
        """Return the kinds of days from a day on."""
        first = date_of(fields["BASS_DT"])
        names = [f"{first + timedelta(days=number):%Y%m%d}" for number in range(HOLIDAY_DAYS)]
        page = self._pager.page(
            names,
            HOLIDAY_ROWS,
            fields,
            tr_cont,
            tr_id,
            name="chk-holiday",
            key=str,
            row=self._day_row,
            suffix="",
        )
        return Answer(
            {"ctx_area_fk": page.search, "ctx_area_nk": page.next, "output": page.rows}, tr_cont=page.tr_cont
        )

    def _day_row(self, day: str) -> dict[str, str]:
        weekday = date_of(day).weekday()
        is_open = "Y" if self._days.is_business(day) else "N"
        return {
            "bass_dt": day,
            "wday_dvsn_cd": f"{(weekday + 1) % 7 + 1:02}",
            "bzdy_yn": is_open,
            "tr_day_yn": "Y" if weekday < SATURDAY else "N",
            "opnd_yn": is_open,
            "sttl_day_yn": is_open,
        }


CAUTIONS = {"52", "53", "54"}
WARNINGS = {"52": "01", "53": "02", "54": "03"}


def _call(name: str, tr_id: str, fields: tuple[str, ...], handler: Any, empty: tuple[str, ...] = ()) -> Call:
    """Return a call whose TR is the same on both hosts."""
    return Call("GET", AT + name, (tr_id,), (tr_id,), fields, handler, empty)


def _change(listing: Listing, price: int) -> dict[str, str]:
    return {
        "prdy_vrss": str(price - listing.base),
        "prdy_vrss_sign": sign_of(listing, price),
        "prdy_ctrt": f"{(price - listing.base) * 100 / listing.base:.2f}",
    }
