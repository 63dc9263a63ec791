//! The offers of the list: each allowed request is served by the index that the table names, on both databases, without
//! a scan and without sorting more than it shows; each other request is refused with the allowed alternatives.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::filter::{Field, Filter, MOST_VALUES, Op, Reading, Sort};
use super::offer::{OFFERS, Offer, Values, offered, plan};
use super::page::{PageError, Query, page};
use crate::tests::plans::{Database, Planned};

const TENANT: &str = "acme";

/// A value of a field that orders of the fixture have, or its `n`th.
fn value(offer: Option<&Offer>, field: &str, n: usize) -> String {
    if let Some(Offer { values: Values::Rare(rare), .. }) = offer {
        return rare[n % rare.len()].to_owned();
    }
    let words: &[&str] = match field {
        "status" => &["completed", "pending", "confirmed", "rejected", "cancelled"],
        "stock_status" => &["none", "reserved", "released"],
        "payment_status" => &["captured", "authorised", "voided", "none"],
        "fulfilment_status" => &["shipped", "unfulfilled", "delivered", "cancelled"],
        "return_status" => &["none"],
        "on_hold" | "payment_ending" => &["false"],
        "channel" => &["web", "shop"],
        "currency" => &["GBP", "EUR"],
        _ => &[],
    };
    match field {
        "external_ref" => format!("r-{}", n + 40),
        "customer" => format!("c-{n}"),
        "sku" => format!("S{n}"),
        "tag" => ["common", "rare"].get(n).map_or_else(|| format!("t-{n}"), |tag| (*tag).to_owned()),
        _ => words[n % words.len()].to_owned(),
    }
}

/// Whether a field has two values, so that there is nothing to take several of.
fn is_flag(field: &str) -> bool {
    matches!(field, "on_hold" | "payment_ending")
}

/// The bounds that a list sorted by a column takes.
fn bounds(column: &str) -> Vec<Vec<(String, String)>> {
    let (low, high) = match column {
        "total" => ("1000", "90000"),
        _ => ("1970-01-01T01:00:00Z", "1970-01-01T06:00:00Z"),
    };
    let named = |op: &str, value: &str| (format!("{column}{op}"), value.to_owned());
    vec![
        vec![],
        vec![named("[gte]", low)],
        vec![named("[lt]", high)],
        vec![named("[gte]", low), named("[lt]", high)],
        vec![named("", low)],
    ]
}

type Asked = Vec<(String, String)>;

/// Every request that the table offers: the filters, the sort, and the index that has to serve it.
fn offered_requests() -> Vec<(Asked, String, &'static Offer)> {
    let mut requests = Vec::new();
    for offer in OFFERS {
        let filters: Vec<Asked> = match offer.field {
            None => vec![vec![]],
            Some(field) => {
                let many = |count: usize| {
                    let mut values: Vec<_> = (0..count).map(|n| value(Some(offer), field, n)).collect();
                    values.sort();
                    values.dedup();
                    values.join(",")
                };
                let mut filters = vec![vec![(field.to_owned(), value(Some(offer), field, 0))]];
                if !is_flag(field) {
                    filters.extend([2, MOST_VALUES].map(|count| vec![(format!("{field}[in]"), many(count))]));
                }
                filters
            }
        };
        for filter in filters {
            for bound in bounds(offer.sort) {
                for way in ["", "-"] {
                    let asked = filter.iter().cloned().chain(bound.clone()).collect();
                    requests.push((asked, format!("{way}{}", offer.sort), offer));
                }
            }
        }
    }
    requests
}

/// Every request that looks at a range of the orders one by one: each field with each comparison, and each pair of fields.
fn ranged_requests() -> Vec<Asked> {
    let begin = ("placed_at[gte]".to_owned(), "1970-01-01T07:00:00Z".to_owned());
    let fields: Vec<_> = Field::all().filter(|field| !field.is_sort()).collect();
    let mut requests = Vec::new();
    for (at, field) in fields.iter().enumerate() {
        let name = field.name;
        requests.push(vec![(name.to_owned(), value(None, name, 0)), begin.clone()]);
        if !is_flag(name) {
            let two = format!("{},{}", value(None, name, 0), value(None, name, 1));
            requests.push(vec![(format!("{name}[in]"), two), begin.clone()]);
        }
        if matches!(field.reading, Reading::Name(_)) {
            requests.push(vec![(format!("{name}[prefix]"), value(None, name, 0)), begin.clone()]);
        }
        for other in &fields[at + 1..] {
            let pair = [name, other.name].map(|name| (name.to_owned(), value(None, name, 0)));
            requests.push(pair.into_iter().chain([begin.clone()]).collect());
        }
    }
    requests
}

fn query(asked: &Asked, sort: &str) -> Query {
    Query {
        tenant: TENANT.into(),
        filters: asked.iter().map(|(name, value)| Filter::parse(name, value).unwrap()).collect(),
        sort: Sort::parse(sort).unwrap(),
        limit: 50,
        cursor: None,
        count: true,
    }
}

/// Requests a page and the one after it; returns the plans of both.
async fn explained(database: &Database, query: &Query) -> Vec<Planned> {
    let first = page(&database.reads(), query).await.unwrap().value;
    if let Some(next) = first.next {
        let second = Query { cursor: Some(next), count: false, ..query.clone() };
        assert!(!page(&database.reads(), &second).await.unwrap().value.orders.is_empty());
    }
    database.taken()
}

/// The faults in the plans of a request.
async fn faults(database: &Database) -> Vec<String> {
    let mut faults = Vec::new();
    for (asked, sort, offer) in offered_requests() {
        let merges = asked.iter().any(|(name, value)| name.ends_with("[in]") && value.contains(','));
        let query = query(&asked, &sort);
        for planned in explained(database, &query).await {
            // Of the labels the rows themselves, and of those that merge the first is as good as each.
            let first = query.filters.iter().find(|filter| offer.field == Some(filter.field.name));
            let index = offer.serving(first.map(|filter| &filter.values[0]));
            let index = index.filter(|_| planned.sql.contains("order_list o"));
            if let Some(fault) =
                planned.fault(index.map(|index| format!("order_list_{}_", index.name)).as_deref(), merges)
            {
                faults.push(format!("{asked:?} {sort}: {fault}"));
            }
        }
    }
    for asked in ranged_requests() {
        for sort in ["placed_at", "-placed_at"] {
            let merges = asked.len() == 2 && asked[0].0.ends_with("[in]");
            for planned in explained(database, &query(&asked, sort)).await {
                if let Some(fault) = planned.fault(None, merges) {
                    faults.push(format!("{asked:?} {sort}: {fault}"));
                }
            }
        }
    }
    faults
}

async fn serves_what_it_offers(database: Database) {
    let found = faults(&database).await;
    assert!(
        found.is_empty(),
        "{} faults, of which the first are\n{}",
        found.len(),
        found[..found.len().min(5)].join("\n")
    );
    // And the check sees an index that is not there.
    for (index, parameters, sort) in [
        ("by_status_total", ("status", "completed"), "total"),
        ("return_returned", ("return_status", "returned"), "-placed_at"),
    ] {
        database.drop_index(&format!("order_list_{index}_")).await;
        let asked = vec![(parameters.0.to_owned(), parameters.1.to_owned())];
        let planned = explained(&database, &query(&asked, sort)).await;
        let seen = planned.iter().any(|planned| {
            planned.sql.contains("order_list o")
                && planned.fault(Some(&format!("order_list_{index}_")), false).is_some()
        });
        assert!(seen, "{index} is not missed: {planned:?}");
    }
}

#[tokio::test]
async fn every_offered_request_is_served_by_its_index_on_sqlite() {
    serves_what_it_offers(Database::sqlite().await).await;
}

#[tokio::test]
async fn every_offered_request_is_served_by_its_index_on_postgres() {
    serves_what_it_offers(Database::postgres().await).await;
}

#[test]
fn what_no_index_serves_is_refused_and_says_what_is_allowed() {
    type Case = (&'static [(&'static str, &'static str)], &'static str, &'static str);
    const RANGE: (&str, &str) = ("placed_at[gte]", "2011-01-01T00:00:00Z");
    let cases: &[Case] = &[
        (&[("channel", "web")], "-placed_at", "with placed_at[gte]"),
        (&[("currency", "GBP")], "placed_at", "with placed_at[gte]"),
        (&[("payment_status", "captured")], "-placed_at", "for other values only with placed_at[gte]"),
        (&[("fulfilment_status", "shipped")], "-placed_at", "part_shipped, part_delivered"),
        (&[("payment_status[in]", "declined,captured")], "-placed_at", "declined"),
        (&[("on_hold", "false")], "-placed_at", "is allowed for true"),
        (&[("customer", "c-1")], "total", "sort=placed_at"),
        (&[("sku", "TEA")], "-updated_at", "sort=placed_at"),
        (&[("customer[prefix]", "c-")], "-placed_at", "with placed_at[gte]"),
        (&[("status", "completed"), ("customer", "c-1")], "-placed_at", "status, customer can only be combined"),
        (&[("updated_at[gte]", "2011-01-01T00:00:00Z")], "-placed_at", "sort=updated_at"),
        (&[("total[lt]", "100")], "placed_at", "sort=total"),
        (&[RANGE, ("status", "pending")], "total", "sort=placed_at"),
        (&[("channel", "web"), ("placed_at[lt]", "2011-01-01T00:00:00Z")], "placed_at", "with placed_at[gte]"),
        (&[("customer", "c-1"), ("customer", "c-2")], "placed_at", "twice"),
        (&[("customer", "c-1"), ("customer[eq]", "c-1"), RANGE], "placed_at", "twice"),
        (&[("status", "pending"), ("status[in]", "pending,completed")], "placed_at", "twice"),
        (&[RANGE, RANGE], "placed_at", "twice"),
        (&[RANGE, ("placed_at", "2011-01-01T00:00:00Z")], "placed_at", "twice"),
    ];
    for (asked, sort, allowed) in cases {
        let filters: Vec<_> = asked.iter().map(|(name, value)| Filter::parse(name, value).unwrap()).collect();
        let refused = plan(&filters, Sort::parse(sort).unwrap()).unwrap_err();
        assert!(refused.to_string().contains(allowed), "{asked:?} {sort}: {refused}");
    }
}

#[test]
fn an_order_is_in_eight_indexes_beside_those_of_rare_states() {
    let everywhere = super::ORDERS.indexes.iter().filter(|index| index.only.is_none()).count();
    assert!(everywhere <= 8, "{everywhere}");
    let mut served = Vec::new();
    for offer in OFFERS {
        match (offer.values, offer.field) {
            (Values::Rare(rare), Some(field)) => {
                for word in rare {
                    let filter = Filter::parse(field, word).unwrap();
                    let index = offer.serving(Some(&filter.values[0])).unwrap_or_else(|| panic!("{field}={word}"));
                    assert!(index.only.is_some() && index.columns == "tenant, placed_at, order_id");
                    served.push(index.name);
                }
            }
            _ if offer.is_label() => assert!(matches!(offer.field, Some("sku" | "tag"))),
            (_, field) => {
                let index = offer.serving(None).unwrap_or_else(|| panic!("{offer:?}"));
                let columns = field.map_or(format!("tenant, {}, order_id", offer.sort), |field| {
                    format!("tenant, {field}, {}, order_id", offer.sort)
                });
                assert_eq!((index.columns, index.only), (columns.as_str(), None));
                served.push(index.name);
            }
        }
    }
    let idle = super::ORDERS.indexes.iter().find(|index| !served.contains(&index.name));
    assert!(idle.is_none(), "an index that serves nothing costs all the same: {idle:?}");
}

#[test]
fn the_description_of_the_api_says_what_the_table_offers() {
    let described = include_str!("../../../docs/http-api.md");
    assert!(described.contains(&offered()), "docs/http-api.md does not have this table:\n{}", offered());
}

#[test]
fn a_filter_that_merges_is_bounded() {
    let many = vec!["x"; MOST_VALUES + 1].join(",");
    assert!(Filter::parse("customer[in]", &many).is_err());
    let known = Filter::parse("customer[in]", "b,a,b").unwrap();
    assert_eq!((known.op, known.values.len()), (Op::In, 2));
    assert!(matches!(PageError::from(known.bad("x".into())), PageError::Filter(_)));
}
