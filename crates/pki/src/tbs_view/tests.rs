//! Tests of `tbs_view`.

use super::*;
use crate::asn1::encode;
use crate::plan_fixture::{Parts, issuing_plan, leaf_plan};
use crate::test_fixture::sequence;

fn instant(tag: u8, text: &[u8]) -> Option<String> {
    let der = encode(tag, text);
    let time = TimeView::read(&mut Reader::new(&der)).unwrap();
    time.time.map(|time| time.to_rfc3339())
}

#[test]
fn times_are_read_as_rfc_5280_writes_them() {
    let read = |text| instant(UTC_TIME, text);
    assert_eq!(read(b"500101000000Z").unwrap(), "1950-01-01T00:00:00+00:00");
    assert_eq!(read(b"491231235959Z").unwrap(), "2049-12-31T23:59:59+00:00");
    let read = |text| instant(GENERALIZED_TIME, text);
    assert_eq!(
        read(b"20500228120000Z").unwrap(),
        "2050-02-28T12:00:00+00:00"
    );
    assert_eq!(
        read(b"99991231235959Z").unwrap(),
        "9999-12-31T23:59:59+00:00"
    );
}

#[test]
fn other_forms_of_times_are_no_times() {
    for text in [
        &b""[..],
        b"Z",
        b"2601010000Z",
        b"260101000000",
        b"260101000000+0000",
        b"260230000000Z",
        b"261301000000Z",
        b"260101240000Z",
        b"2601010000000Z",
        b"26010100000\xFFZ",
    ] {
        assert_eq!(instant(UTC_TIME, text), None, "{text:02x?}");
    }
    for text in [
        &b"2"[..],
        b"20260101000000.5Z",
        b"xx260101000000Z",
        b"20260101000000+0100",
    ] {
        assert_eq!(instant(GENERALIZED_TIME, text), None, "{text:02x?}");
    }
}

#[test]
fn every_field_is_read() {
    let plan = issuing_plan();
    let tbs = Parts::new(&plan, &plan).encode();
    let view = TbsView::parse(&tbs).unwrap();
    assert_eq!(view.raw, tbs);
    assert_eq!(view.version, Some(2));
    assert_eq!(view.subject.raw, plan.subject_der);
    assert_eq!(view.subject.attributes().count(), 3);
    assert_eq!(view.not_after.time, Some(plan.not_after));
    assert!(view.is_certificate_authority());
    assert!(view.is_self_issued());
    assert!(view.malformed.is_empty());
    let known = &view.known;
    assert_eq!(known.policy_constraints, Some((Some(0), Some(200))));
    assert_eq!(known.inhibit_any_policy, Some(1));
    assert_eq!(known.policy_mappings.as_ref().unwrap().len(), 1);
    let constraints = known.name_constraints.as_ref().unwrap();
    assert_eq!(
        (constraints.permitted.len(), constraints.excluded.len()),
        (6, 1)
    );
}

#[test]
fn a_malformed_extension_is_not_taken_for_an_absent_one() {
    let mut parts = Parts::new(&leaf_plan(), &issuing_plan());
    parts.set("2.5.29.19", &[0x30, 1]);
    let tbs = parts.encode();
    let view = TbsView::parse(&tbs).unwrap();
    assert!(view.known.basic_constraints.is_none());
    assert_eq!(view.malformed.len(), 1);
}

#[test]
fn what_is_no_tbs_certificate_is_refused() {
    let good = Parts::new(&leaf_plan(), &issuing_plan()).encode();
    assert!(TbsView::parse(&good).is_ok());
    let mut trailing = good.clone();
    trailing.push(0);
    assert!(TbsView::parse(&trailing).is_err());
    assert!(TbsView::parse(&sequence(&[])).is_err());
    for length in 0..good.len() {
        assert!(TbsView::parse(&good[..length]).is_err());
    }
}
