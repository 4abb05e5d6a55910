//! Payloads round trip, and foreign bytes are refused without a panic.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

prop_compose! {
    fn record()(
        tenant in "[a-zA-Z0-9_-]{1,20}",
        is_first: bool,
        arrival: i64,
        validator in 0_u32..5,
        refused in prop::collection::btree_set(0_u32..1000, 0..20),
        body: Vec<u8>,
    ) -> Record {
        let mut verdict = Verdict::new(validator);
        refused.into_iter().for_each(|ordinal| verdict.refuse(ordinal));
        let protocol = if is_first { Protocol::V1 } else { Protocol::V2 };
        Record { tenant: TenantId::parse(&tenant).unwrap(), protocol, arrival, verdict, body: body.into() }
    }
}

proptest! {
    #[test]
    fn payloads_round_trip(record in record()) {
        let mut payload = Vec::new();
        record.encode_prefix(&mut payload);
        payload.extend_from_slice(&record.body);
        prop_assert_eq!(RecordView::decode(&payload).unwrap().to_record(), record);
    }

    #[test]
    fn foreign_bytes_are_refused_or_read_but_never_panic(bytes: Vec<u8>) {
        let _ = RecordView::decode(&bytes);
    }
}

#[test]
fn a_cut_payload_is_refused_up_to_its_body() {
    let record = Record {
        tenant: TenantId::parse("team").unwrap(),
        protocol: Protocol::V2,
        arrival: -1,
        verdict: Verdict::new(1),
        body: Bytes::new(),
    };
    let mut payload = Vec::new();
    record.encode_prefix(&mut payload);
    for len in 0..payload.len() {
        assert!(RecordView::decode(&payload[..len]).is_err(), "{len}");
    }
    payload[0] = 3;
    assert_eq!(RecordView::decode(&payload).unwrap_err(), "unknown protocol 3");
}
