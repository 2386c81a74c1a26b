use super::rose_alike;

#[test]
fn a_single_handshake_is_no_company_where_none_is_usual() {
    for usual in [0.0, 5.0, 5_000.0] {
        assert!(!rose_alike((100_000.0, usual), (1.0, 0.0)), "{usual}");
    }
    assert!(!rose_alike((100_000.0, 5_000.0), (9_000.0, 0.0)));
    assert!(!rose_alike((100_000.0, 5_000.0), (9_000.0, 4.9)));
}

#[test]
fn handshakes_are_company_if_they_rise_by_half_as_much() {
    assert!(rose_alike((100_000.0, 5_000.0), (500.0, 50.0)));
    assert!(!rose_alike((100_000.0, 5_000.0), (499.0, 50.0)));
    assert!(rose_alike((40.0, 20.0), (1.0, 0.5)), "counted as one");
    assert!(!rose_alike((80.0, 20.0), (1.0, 0.5)));
}
