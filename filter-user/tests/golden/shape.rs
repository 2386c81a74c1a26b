//! Programs with some features only.

use filter_common::abi::feature::Feature;
use filter_user::dataplane::Dataplane as _;

use crate::bench::Bench;

#[test]
fn what_is_off_takes_neither_code_nor_memory() {
    let mut bench = Bench::new();
    let (all, used) = bench.reshape(u64::MAX);
    let (least, unused) = bench.reshape(0);
    let size = |report: &filter_user::dataplane::ProgramReport| {
        report.translated.expect("the kernel tells root the size")
    };
    assert!(
        size(&least) * 3 < size(&all),
        "{} of {}",
        size(&least),
        size(&all)
    );
    for table in ["SOURCES", "SOURCE_BYTES", "PREFIXES", "PREFIX_BYTES"] {
        assert!(unused[table] < used[table], "{table}: {}", unused[table]);
    }
    let (_, again) = bench.reshape(u64::MAX);
    assert_eq!(again, used);
    let sizes = Feature::ALL.map(|feature| {
        let (report, _) = bench.reshape(feature.bit());
        assert_eq!(report.features, feature.bit() & bench.kernel.able());
        size(&report)
    });
    assert!(sizes.iter().all(|one| *one <= size(&all)));
}
