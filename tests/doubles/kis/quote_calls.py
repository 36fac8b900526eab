"""Calls that read the market: price."""

from __future__ import annotations

from tests.doubles.kis.access import Keys
from tests.doubles.kis.answers import Answer, field_error
from tests.doubles.kis.clock import DoubleClock
from tests.doubles.kis.frames import sign_of
from tests.doubles.kis.market import KRX, NXT, Listing, Market, Quotes
from tests.doubles.kis.rest import Call, Fields

DIVISIONS = {"J": KRX, "NX": NXT, "UN": KRX}
CODE = ("FID_COND_MRKT_DIV_CODE", "FID_INPUT_ISCD")


class QuoteCalls:
    """What customers ask about the market."""

    def __init__(self, market: Market, clock: DoubleClock) -> None:
        self._market, self._clock = market, clock

    def calls(self) -> list[Call]:
        """Return the calls that this room answers."""
        at = "/uapi/domestic-stock/v1/quotations/"
        price = ("FHKST01010100",)
        return [Call("GET", at + "inquire-price", price, price, CODE, self.price)]

    def _listing(self, fields: Fields) -> tuple[Listing, Quotes]:
        venue = DIVISIONS.get(fields["FID_COND_MRKT_DIV_CODE"])
        if venue is None:
            raise field_error("OPSQ2001", "ERROR : INVALID INPUT_FIELD_VALUE [FID_COND_MRKT_DIV_CODE]")
        listing = self._market.listings.get(fields["FID_INPUT_ISCD"])
        if listing is None:
            raise field_error("OPSQ2002", "ERROR : INVALID INPUT_FIELD_SIZE [FID_INPUT_ISCD]")
        return listing, listing.at(venue)

    def price(self, keys: Keys, fields: Fields, tr_cont: str, tr_id: str) -> Answer:
        """Return price, band and flags of a name."""
        listing, quotes = self._listing(fields)
        low, high = listing.band
        price = quotes.last or listing.base
        return Answer(
            {
                "output": {
                    "iscd_stat_cls_code": "58" if listing.halted else listing.status,
                    "rprs_mrkt_kor_name": listing.board,
                    "temp_stop_yn": "Y" if listing.halted else "N",
                    "stck_prpr": str(price),
                    "prdy_vrss": str(price - listing.base),
                    "prdy_vrss_sign": sign_of(listing, price),
                    "prdy_ctrt": f"{(price - listing.base) * 100 / listing.base:.2f}",
                    "acml_tr_pbmn": str(quotes.amount),
                    "acml_vol": str(quotes.volume),
                    "stck_oprc": str(quotes.open),
                    "stck_hgpr": str(quotes.high),
                    "stck_lwpr": str(quotes.low),
                    "stck_mxpr": str(high),
                    "stck_llam": str(low),
                    "stck_sdpr": str(listing.base),
                    "aspr_unit": str(listing.step(price)),
                    "stck_shrn_iscd": listing.code,
                    "vi_cls_code": listing.vi,
                    "ovtm_vi_cls_code": "N",
                    "invt_caful_yn": "N",
                    "mrkt_warn_cls_code": "00",
                    "short_over_yn": "Y" if listing.single_price else "N",
                    "sltr_yn": "N",
                    "mang_issu_cls_code": "N",
                }
            }
        )
