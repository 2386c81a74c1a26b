//! Lists from files and pipes.

use std::{fmt::Write as _, fs};

use crate::common::{Config, Protected};

#[test]
fn a_list_with_comments_both_families_and_any_line_ends_is_taken() {
    let p = Protected::enforcing();
    let text = "\u{feff}# a feed\r\n198.51.100.66\r\n; more\r\n192.0.2.0/25 # why\r\n\r\n\
                2001:db8:c1::/64\r\n3fff::1\n198.18.0.7/24";
    let file = p.file("Feed 1.txt");
    fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap();
    p.cli_words(&["block", "import", path, "--reason", "monthly feed"])
        .ends(0)
        .says("list feed-1 on the blocklist holds 5 prefixes")
        .says("5 added");
    let list = p.json("block list --list feed-1");
    assert_eq!(list["total"], 5);
    assert_eq!(list["entries"][0]["list"], "feed-1");
    assert_eq!(list["entries"][0]["reason"], "monthly feed");
    assert!(list["entries"][0]["packets"].is_null());
    for source in [
        "198.51.100.66",
        "192.0.2.127",
        "2001:db8:c1::9",
        "3fff::1",
        "198.18.0.200",
    ] {
        assert!(!p.passes(source), "{source}");
    }
    for source in [
        "198.51.100.67",
        "192.0.2.128",
        "2001:db8:c1:1::9",
        "3fff::2",
    ] {
        assert!(p.passes(source), "{source}");
    }
    p.cli("why 192.0.2.7")
        .ends(0)
        .says("in the imported list feed-1");
}

#[test]
fn an_import_replaces_the_list_of_that_name_and_no_other() {
    let p = Protected::enforcing();
    p.cli_fed("block import - --list one", b"198.51.100.1\n198.51.100.2\n")
        .ends(0);
    p.cli_fed("block import - --list two", b"198.51.100.2\n198.51.100.3\n")
        .ends(0);
    p.cli("block add 198.51.100.4").ends(0);
    p.cli_fed("block import - --list one", b"198.51.100.5\n198.51.100.1\n")
        .ends(0)
        .says("1 added, 1 updated, 1 removed");
    for (last, passes) in [
        (1, false),
        (2, false),
        (3, false),
        (4, false),
        (5, false),
        (6, true),
    ] {
        assert_eq!(p.passes(&format!("198.51.100.{last}")), passes, "{last}");
    }
    // A feed that failed to arrive does not unblock anybody.
    p.cli_fed("block import - --list two", b"# nothing any more\n")
        .ends(5)
        .says("the list has no prefix in it");
    assert!(!p.passes("198.51.100.2") && !p.passes("198.51.100.3"));
    p.cli_fed("block import - --list two --force", b"# nothing any more\n")
        .ends(0);
    assert!(p.passes("198.51.100.2") && p.passes("198.51.100.3"));
    assert_eq!(
        p.listed("block"),
        ["198.51.100.4/32", "198.51.100.1/32", "198.51.100.5/32"]
    );
}

#[test]
fn a_source_that_both_versions_of_a_list_cover_never_gets_through() {
    let p = Protected::enforcing();
    let version = |own: &str, from: u32| {
        (from..from + 5000).fold(format!("{own}\n"), |mut text, entry| {
            writeln!(text, "198.18.{}.{}", entry / 250, entry % 250).unwrap();
            text
        })
    };
    let wide = version("198.51.100.0/24\n3fff::/48", 0);
    let narrow = version("198.51.100.0/25\n198.51.100.128/25\n3fff::/64", 5000);
    p.cli_fed("block import - --list feed", wide.as_bytes())
        .ends(0);
    let stream = p.stream(&["198.51.100.66", "3fff::66"], &["192.0.2.1"], 500);
    for list in [&narrow, &wide, &narrow] {
        p.cli_fed("block import - --list feed", list.as_bytes())
            .ends(0);
    }
    let report = stream.finish();
    assert!(
        report.leaked.is_empty() && report.lost.is_empty(),
        "{report:?}"
    );
}

#[test]
fn an_allowed_list_goes_before_a_blocked_one() {
    let p = Protected::enforcing();
    p.cli_fed("block import - --list feed", b"198.51.100.0/24\n")
        .ends(0);
    p.cli_fed("allow import - --list partners", b"198.51.100.66\n")
        .ends(0);
    assert!(p.passes("198.51.100.66") && !p.passes("198.51.100.67"));
}

#[test]
fn a_bad_line_is_named_and_nothing_changed() {
    let p = Protected::enforcing();
    p.cli_fed("block import - --list feed", b"198.51.100.1\n")
        .ends(0);
    p.cli_fed(
        "block import - --list feed",
        b"198.51.100.2\n\n# x\nfoo.example\n198.51.100.3\n",
    )
    .ends(2)
    .says("line 4: \"foo.example\"");
    p.cli_fed("block import - --list feed", b"198.51.100.2,198.51.100.3\n")
        .ends(2)
        .says("line 1");
    assert_eq!(p.listed("block"), ["198.51.100.1/32"]);
    assert!(!p.passes("198.51.100.1") && p.passes("198.51.100.2"));
}

#[test]
fn a_list_larger_than_the_table_is_refused_whole() {
    let p = Protected::with(&Config::new("enforce").table("[tables]\nlists_v4 = 1000"));
    p.cli_fed("block import - --list feed", b"198.51.100.1\n")
        .ends(0);
    let list = |entries: u32| -> String {
        (0..entries).fold(String::new(), |mut text, entry| {
            writeln!(text, "198.18.{}.{}", entry / 250, entry % 250).unwrap();
            text
        })
    };
    p.cli_fed("block import - --list feed", list(1001).as_bytes())
        .ends(5)
        .says("would hold 1001 IPv4 prefixes and have room for 1000");
    p.cli_fed("block import - --list other", list(1000).as_bytes())
        .ends(5)
        .says("`lists_v4` under [tables]");
    assert_eq!(p.listed("block"), ["198.51.100.1/32"]);
    assert!(!p.passes("198.51.100.1") && p.passes("198.18.0.1"));
    p.cli_fed("block import - --list feed", list(1000).as_bytes())
        .ends(0);
    assert!(p.passes("198.51.100.1") && !p.passes("198.18.3.249"));
    assert_eq!(p.status()["tables"]["lists_v4"]["entries"], 1000);
}

#[test]
fn a_list_that_ends_ends_by_itself() {
    let p = Protected::enforcing();
    p.cli_fed("block import - --list feed --for 5s", b"198.51.100.66\n")
        .ends(0);
    assert!(!p.passes("198.51.100.66"));
    crate::common::wait_until("the list ends", || p.passes("198.51.100.66"));
    crate::common::wait_until("it is forgotten", || p.listed("block").is_empty());
}

#[test]
fn files_and_names_that_cannot_be_used_are_named() {
    let p = Protected::enforcing();
    p.cli("block import /nonexistent.txt")
        .ends(1)
        .says("/nonexistent.txt");
    p.cli("block import /tmp").ends(1).says("it is a folder");
    p.cli_fed("block import - --list manual", b"198.51.100.1\n")
        .ends(2);
    p.cli_fed("block import - --list ../x", b"198.51.100.1\n")
        .ends(2);
    assert_eq!(p.listed("block"), [""; 0]);
}

#[test]
fn long_lists_come_in_pages() {
    let p = Protected::enforcing();
    let list = (0..2500_u32).fold(String::new(), |mut text, entry| {
        writeln!(text, "198.18.{}.{}", entry / 250, entry % 250).unwrap();
        text
    });
    p.cli_fed("block import - --list feed", list.as_bytes())
        .ends(0);
    let (status, page) = p.http("GET", "/v1/block?limit=1000");
    assert_eq!(status, 200);
    assert_eq!(page["entries"].as_array().unwrap().len(), 1000);
    assert_eq!(page["total"], 2500);
    let next = page["next"].as_str().unwrap();
    let (_, page) = p.http("GET", &format!("/v1/block?limit=2000&cursor={next}"));
    assert_eq!(page["entries"].as_array().unwrap().len(), 1500);
    assert!(page["next"].is_null());
    assert_eq!(p.listed("block").len(), 2500);
    let few = p.json("block list --limit 7");
    assert_eq!(few["entries"].as_array().unwrap().len(), 7);
}
