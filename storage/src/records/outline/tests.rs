use proptest::prelude::*;

use super::*;
use crate::batch::{check, field};
use crate::batch_builder::{BatchBuilder, BatchSpec};
use crate::compression::{Codec, compress};
use crate::golden;
use crate::records::{Record, Records};

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
const CAP: usize = 1 << 20;

fn outline(record: Record<'_>) -> RecordOutline {
    let Record { offset_delta, timestamp, key, .. } = record;
    RecordOutline { offset_delta, timestamp, has_key: key.is_some() }
}

/// The outlines up to the first fault, and whether there was one.
fn read(
    header: &BatchHeader,
    codec: Codec,
    packed: &[u8],
    cap: usize,
) -> (Vec<RecordOutline>, Option<OutlineError>) {
    let opened = match Opened::new(codec, packed, cap) {
        Ok(opened) => opened,
        Err(error) => return (Vec::new(), Some(error.into())),
    };
    let (mut whole, mut fault) = (Vec::new(), None);
    for outline in RecordOutlines::new(header, opened) {
        assert!(fault.is_none(), "nothing follows a fault");
        match outline {
            Ok(outline) => whole.push(outline),
            Err(error) => fault = Some(error),
        }
    }
    (whole, fault)
}

/// The same from records that are there as a whole.
fn walk(header: &BatchHeader, area: &[u8]) -> (Vec<RecordOutline>, bool) {
    let records: Vec<_> = Records::new(header, area).collect();
    let is_faulty = records.iter().any(Result::is_err);
    (records.into_iter().flatten().map(outline).collect(), is_faulty)
}

/// The header and the records, not compressed, of a batch with values of these sizes; every third record has no key.
fn records(sizes: &[usize]) -> (BatchHeader, Vec<u8>) {
    let mut builder = BatchBuilder::new(BatchSpec::default());
    for (number, size) in (0_i64..).zip(sizes) {
        let key = (number % 3 != 0).then_some(&b"key"[..]);
        let value = vec![b'v'; *size];
        builder.push(
            TimestampMs(number * 1000),
            key,
            Some(&value),
            &[(b"name", Some(b"value")), (b"name", None)],
        );
    }
    let batch = builder.build().unwrap();
    (check(&batch).unwrap(), batch[field::RECORDS..].to_vec())
}

#[test]
fn outlines_of_every_codec_are_those_of_the_records() {
    // Values over the size of a piece, of a block of Snappy, and of nothing.
    let (header, area) = records(&[0, 10, 200_000, 65_536, 1, 32_768]);
    for codec in CODECS {
        let packed = compress(codec, codec.default_level(), &area).unwrap();
        let (outlines, fault) = read(&header, codec, &packed, CAP);
        assert!(fault.is_none(), "{codec:?}: {fault:?}");
        assert_eq!((outlines, false), walk(&header, &area), "{codec:?}");
    }
    let raw = snap::raw::Encoder::new().compress_vec(&area).unwrap();
    assert_eq!(read(&header, Codec::Snappy, &raw, CAP).0.len(), 6, "one block, as librdkafka writes it");
}

#[test]
fn a_stream_over_the_cap_or_cut_off_is_told_from_one_without_records() {
    let (header, area) = records(&[100_000, 100_000]);
    for codec in CODECS {
        let packed = compress(codec, codec.default_level(), &area).unwrap();
        let too_large = read(&header, codec, &packed, area.len() - 1).1;
        assert!(
            matches!(too_large, Some(OutlineError::Decompress(DecompressError::TooLarge { .. }))),
            "{codec:?}: {too_large:?}"
        );
        assert!(read(&header, codec, &packed, area.len()).1.is_none(), "{codec:?}");
        assert!(read(&header, codec, &packed[..packed.len() / 2], CAP).1.is_some(), "{codec:?}");
    }
    let surplus = [&area[..], &[0]].concat();
    let fault = read(&header, Codec::None, &surplus, CAP).1;
    assert!(matches!(fault, Some(OutlineError::Fault(RecordFault::TrailingBytes))), "{fault:?}");
}

proptest! {
    #[test]
    fn damaged_records_fault_where_they_do_when_they_are_there_as_a_whole(
        sizes in prop::collection::vec(0..300_usize, 1..6),
        at in any::<prop::sample::Index>(),
        noise in prop::collection::vec(any::<u8>(), 0..4),
        count in -2..8_i32,
    ) {
        let (mut header, mut area) = records(&sizes);
        header.record_count = count;
        let at = at.index(area.len());
        for (place, byte) in area[at..].iter_mut().zip(&noise) {
            *place = *byte;
        }
        for codec in CODECS {
            let packed = compress(codec, 1, &area).unwrap();
            let (outlines, fault) = read(&header, codec, &packed, CAP);
            prop_assert_eq!((outlines, fault.is_some()), walk(&header, &area));
        }
    }

    #[test]
    fn random_bytes_never_panic(area in prop::collection::vec(any::<u8>(), 0..300), count in any::<i32>()) {
        let mut header = check(&golden::bytes(golden::TRANSACTIONAL)).unwrap();
        header.record_count = count;
        for codec in CODECS {
            let (outlines, _) = read(&header, codec, &area, CAP);
            prop_assert!(outlines.len() <= CAP);
        }
    }
}
