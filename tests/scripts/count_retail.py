#!/usr/bin/env python3
"""Counts a file of the retail layout by class, independently of the import.

It reads the CSV with the standard library, decides for each row which class it
belongs to by the written definition (docs/import.md), and adds up invoices,
lines, units, revenue (each line rounded half to even, in minor units) and the
raw sum. It shares no code with the import, so that the two can disagree.

    count_retail.py FILE[.gz]           JSON
    count_retail.py FILE[.gz] --text    a table
"""

import csv
import gzip
import io
import json
import sys
from collections import Counter, defaultdict
from decimal import ROUND_HALF_EVEN, Decimal

NO_WARE = {"POST", "DOT", "C2", "M", "D", "S", "AMAZONFEE", "BANK CHARGES", "CRUK"}


def open_text(path):
    raw = open(path, "rb")
    if raw.peek(2)[:2] == b"\x1f\x8b":
        raw = gzip.open(raw)
    return io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")


def class_of(row, rows_of_invoice):
    invoice = row["InvoiceNo"].upper()
    if invoice.startswith("A"):
        return "bad_debt"
    if invoice.startswith("C"):
        return "credit_note"
    if int(row["Quantity"]) < 0:
        return "stock_correction"
    alone = rows_of_invoice[invoice] == 1
    if alone and Decimal(row["UnitPrice"]) == 0 and not row["CustomerID"].strip():
        return "stock_correction"
    return "sale"


def is_ware(sku):
    sku = sku.strip().upper()
    return sku not in NO_WARE and not sku.startswith("GIFT_")


def main():
    path = sys.argv[1]
    with open_text(path) as file:
        rows = list(csv.DictReader(file))
    rows_of_invoice = Counter(row["InvoiceNo"].upper() for row in rows)
    sums = defaultdict(lambda: {"invoices": set(), "lines": 0, "other_lines": 0, "units": 0,
                                "revenue": 0, "raw": Decimal(0)})
    for row in rows:
        into = sums[class_of(row, rows_of_invoice)]
        worth = Decimal(row["UnitPrice"]) * int(row["Quantity"]) * 100
        into["invoices"].add(row["InvoiceNo"].upper())
        into["lines"] += 1
        into["other_lines"] += not is_ware(row["StockCode"])
        into["units"] += int(row["Quantity"])
        into["revenue"] += int(worth.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
        into["raw"] += worth
    named = {"rows": len(rows)}
    for name, into in sorted(sums.items()):
        named[f"{name}.invoices"] = len(into["invoices"])
        named[f"{name}.lines"] = into["lines"]
        named[f"{name}.other_lines"] = into["other_lines"]
        named[f"{name}.units"] = into["units"]
        named[f"{name}.revenue.GBP"] = into["revenue"]
        named[f"{name}.rounding_e4.GBP"] = int((into["revenue"] - into["raw"]) * 10_000)
    if "--text" in sys.argv[2:]:
        for name, value in sorted(named.items()):
            print(f"{name:32} {value:>16,}")
    else:
        print(json.dumps(named, indent=2, sort_keys=True))


if __name__ == "__main__":
    main()
