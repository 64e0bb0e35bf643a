//! Lists that are read, and lists that are not.

use lease::ParseError;
use proptest::prelude::*;

use super::*;
use crate::block::BlockError;
use crate::cidr::CidrError;
use crate::fixture::{apart, cidr, exit, region, texts};
use crate::lines::{FormError, MOST_BYTES, MOST_ERRORS};

fn site(region_name: &str, gateway: &str) -> Site {
    Site::new(region(region_name), gateway.to_owned()).unwrap()
}

fn defaults() -> Defaults {
    Defaults {
        region: Some(region("eu-9")),
        gateway: Some("gw9".to_owned()),
        excluded: Exclusions::new([cidr("203.0.113.9/32")]),
    }
}

fn read(text: &str) -> Vec<String> {
    let list = read_list(text.as_bytes(), &defaults()).unwrap();
    list.rows()
        .map(|(address, site)| format!("{address} {} {}", site.region(), site.gateway()))
        .collect()
}

fn wrong(text: &str) -> Vec<(usize, RowError)> {
    let errors = read_list(text.as_bytes(), &defaults()).unwrap_err();
    errors.told.into_iter().map(|error| (error.line, error.problem)).collect()
}

#[test]
fn a_line_is_an_address_a_prefix_or_a_block() {
    let text = "\u{feff}# our pool\r\naddress,region,gateway\r\n\
        203.0.113.8/30,eu-1,gw1\r\n\r\n\
        2001:db8:1:2::/64,eu-2,\"gw2\"\r\n\
        2001:db8:2::/56/56,,\n\
        \"2001:db8::1\",eu-2,gw2";
    assert_eq!(
        read(text),
        [
            // .8 names the network, .11 is for broadcasts, .9 is excluded.
            "203.0.113.10 eu-1 gw1",
            "2001:db8::1 eu-2 gw2",
            "2001:db8:1:2::/64 eu-2 gw2",
            "2001:db8:2::/56 eu-9 gw9",
        ]
    );
    let list = read_list(text.as_bytes(), &defaults()).unwrap();
    assert_eq!((list.count(), list.excluded()), (4, 1));
    assert_eq!(list.sites().count(), 3);
}

#[test]
fn columns_come_in_any_order_and_may_be_left_out() {
    assert_eq!(read("gateway,address\ngw1,203.0.113.7\n"), ["203.0.113.7 eu-9 gw1"]);
    assert_eq!(read("address\n203.0.113.7\n"), ["203.0.113.7 eu-9 gw9"]);
    assert!(read("region,gateway,address\n").is_empty());
    let nothing = Defaults::default();
    let missing = |text: &str| {
        let errors = read_list(text.as_bytes(), &nothing).unwrap_err();
        (errors.told[0].line, errors.told[0].problem.clone())
    };
    assert_eq!(missing("\naddress,gateway\n203.0.113.7,gw1\n"), (2, RowError::NoRegion));
    assert_eq!(missing("address,region\n203.0.113.7,eu-1\n"), (1, RowError::NoGateway));
    let both = "address,region,gateway\n203.0.113.7,,gw1\n";
    assert_eq!(missing(both), (2, RowError::NoRegion));
}

#[test]
fn a_header_of_another_form_is_told() {
    for (text, error) in [
        ("", RowError::NoAddresses),
        ("# nothing", RowError::NoAddresses),
        ("203.0.113.7\n", RowError::NoAddresses),
        ("region,gateway\n", RowError::NoAddresses),
        ("Address\n", RowError::NoAddresses),
        ("address,place\n", RowError::Column),
        ("address,address\n", RowError::Column),
        ("address, region\n", RowError::Column),
        ("\"address\n", RowError::Quotes),
    ] {
        assert_eq!(wrong(text), [(1, error)], "{text}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_line_by_line() {
    let text = "address,region,gateway\n\
        203.0.113.7,eu-1,gw1\n\
        203.0.113.1/24,eu-1,gw1\n\
        2001:DB8::1,EU,gw1\n\
        2001:db8::2,eu-1,GW\n\
        203.0.113.8\n\
        203.0.113.\"8\",eu-1,gw1\n\
        \"203.0.113.8,eu-1,gw1\n\
        203.0.113.0/29,eu-2,gw2\n\
        2001:db8:1::1,eu-1,gw1\n\
        2001:db8:1::/62,eu-1,gw1\n\
        2001:db8:1:3::5,eu-1,gw1\n\
        203.0.113.4/30,eu-1,gw1\n\
        240.0.0.1,eu-1,gw1\n";
    let whole = cidr("203.0.113.0/24");
    let told = wrong(text);
    let (last, told) = told.split_last().unwrap();
    assert!(matches!(last, (14, RowError::Address(BlockError::Special(..)))), "{last:?}");
    assert_eq!(
        told,
        [
            (3, RowError::Address(CidrError::Bits(whole).into())),
            (4, RowError::Region(ParseError::Region)),
            (5, RowError::Gateway),
            (6, RowError::Fields { found: 1, columns: 3 }),
            (7, RowError::Quotes),
            (8, RowError::Quotes),
            // Of the /29 .1 to .6 are hosts, .7 of line 2 isn't among them.
            (
                11,
                RowError::Overlap {
                    this: exit("2001:db8:1::/64"),
                    other_line: 10,
                    other: exit("2001:db8:1::1"),
                    count: 1
                }
            ),
            (
                12,
                RowError::Overlap {
                    this: exit("2001:db8:1:3::5"),
                    other_line: 11,
                    other: exit("2001:db8:1:3::/64"),
                    count: 1
                }
            ),
            (13, RowError::Repeated { count: 2, first: exit("203.0.113.5"), before: 9 }),
        ]
    );
    let errors = read_list(text.as_bytes(), &defaults()).unwrap_err();
    assert_eq!(
        texts(&errors.told)[8],
        "line 13: 2 of this line's addresses are on line 9 already, the first of them 203.0.113.5"
    );
}

#[test]
fn errors_are_told_to_a_bound_and_counted() {
    let text = "address\n".to_owned() + &"x\n".repeat(MOST_ERRORS + 7);
    let errors = read_list(text.as_bytes(), &defaults()).unwrap_err();
    assert_eq!((errors.told.len(), errors.left_out), (MOST_ERRORS, 7));
    let told = errors.to_string();
    assert_eq!(told.lines().count(), MOST_ERRORS + 1);
    assert!(told.ends_with("\nand 7 more"), "{told}");
    // The same address on every line is one error a line, however many there are.
    let text = "address\n".to_owned() + &"203.0.113.7\n".repeat(50_000);
    let errors = read_list(text.as_bytes(), &defaults()).unwrap_err();
    assert_eq!(errors.told.len() + errors.left_out, 49_999);
}

#[test]
fn a_list_has_bounds() {
    let blocks =
        |count: u32| -> String { (0..count).map(|net| format!("10.{net}.0.0/16\n")).collect() };
    let most = "address\n".to_owned() + &blocks(15);
    let list = read_list(most.as_bytes(), &defaults()).unwrap();
    assert_eq!(list.count(), 15 * 65_534);
    assert_eq!(wrong(&("address\n".to_owned() + &blocks(16))), [(17, RowError::TooMany)]);
    let long = "#".repeat(MOST_BYTES + 1);
    assert_eq!(wrong(&long), [(1, RowError::Form(FormError::TooLong))]);
    assert_eq!(
        read_list(b"address\n\n\xff", &defaults()).unwrap_err().told[0].problem,
        RowError::Form(FormError::Utf8)
    );
}

proptest! {
    #[test]
    fn a_list_is_read_as_it_is_written(
        rows in apart(("eu-[12]|-", "gw1|a|-").prop_map(|(here, there)| site(&here, &there))),
    ) {
        let text = write_list(rows.iter().map(|(address, site)| (*address, site)));
        prop_assert_eq!(text.lines().count(), rows.len() + 1);
        let list = read_list(text.as_bytes(), &Defaults::default()).unwrap();
        prop_assert_eq!(list.count(), rows.len());
        let again: BTreeMap<_, _> =
            list.rows().map(|(address, site)| (address, site.clone())).collect();
        prop_assert!(again == rows);
    }

    #[test]
    fn no_text_panics(text in "(address,region,gateway\n)?([0-9a-f:./,\"\r\n#]{0,20}\n){0,4}") {
        let _ = read_list(text.as_bytes(), &defaults());
    }
}
