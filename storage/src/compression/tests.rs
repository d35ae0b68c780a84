use proptest::prelude::*;

use super::*;

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

/// Bytes that compress, but not to nothing.
fn text(length: usize) -> Vec<u8> {
    (0..length).map(|at| b'a' + (at / 7 % 23) as u8).collect()
}

fn is_too_large(result: &Result<Vec<u8>, DecompressError>) -> bool {
    matches!(result, Err(DecompressError::TooLarge { .. }))
}

fn is_corrupt(result: &Result<Vec<u8>, DecompressError>) -> bool {
    matches!(result, Err(DecompressError::Corrupt { .. }))
}

#[test]
fn numbers_and_codecs_match() {
    for (number, codec) in (0..).zip(CODECS) {
        assert_eq!((codec.number(), Codec::from_number(number)), (number, Some(codec)));
    }
    assert_eq!(Codec::from_number(5), None);
    assert_eq!(Codec::from_number(-1), None);
}

#[test]
fn output_up_to_the_cap_is_allowed_and_a_byte_more_is_not() {
    for codec in CODECS {
        for length in [0, 1, 1000, STEP - 1, STEP, STEP + 1, 5 * STEP] {
            let packed = compress(codec, 1, &text(length)).unwrap();
            assert_eq!(decompress(codec, &packed, length).unwrap(), text(length), "{codec:?} {length}");
            if length > 0 {
                assert!(is_too_large(&decompress(codec, &packed, length - 1)), "{codec:?} {length}");
            }
        }
    }
}

#[test]
fn bombs_hit_the_cap() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let bomb = compress(codec, 9, &vec![0; 64 << 20]).unwrap();
        assert!(is_too_large(&decompress(codec, &bomb, 1 << 20)), "{codec:?}");
    }
}

#[test]
fn a_raw_snappy_block_is_read_as_librdkafka_writes_it() {
    let packed = snap::raw::Encoder::new().compress_vec(&text(100_000)).unwrap();
    assert_eq!(decompress(Codec::Snappy, &packed, 100_000).unwrap(), text(100_000));
    assert!(is_too_large(&decompress(Codec::Snappy, &packed, 99_999)));
}

#[test]
fn snappy_lengths_that_lie_reserve_nothing() {
    let claims_four_gib = [0xff, 0xff, 0xff, 0xff, 0x0f];
    assert!(is_too_large(&decompress(Codec::Snappy, &claims_four_gib, 1 << 20)));
    assert!(is_corrupt(&decompress(Codec::Snappy, &claims_four_gib, usize::MAX)));
    let head = compress(Codec::Snappy, 0, &[]).unwrap();
    let blocks = |bytes: &[u8]| decompress(Codec::Snappy, &[&head[..], bytes].concat(), 1 << 20);
    assert!(is_corrupt(&blocks(&[0xff; 4])), "a negative block length");
    assert!(is_corrupt(&blocks(&[0x7f, 0xff, 0xff, 0xff])), "a block past the end");
    assert!(is_corrupt(&blocks(&[0, 0])), "half a length");
    assert!(is_corrupt(&blocks(&[0, 0, 0, 0])), "an empty block");
    assert!(is_too_large(&blocks(&[0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x0f])));
    assert!(is_corrupt(&decompress(Codec::Snappy, &head[..10], 100)), "a cut header");
}

#[test]
fn a_zstd_stream_cannot_ask_for_a_huge_window() {
    // Frame header: magic, descriptor without a size, window descriptor of 2^(10+21) bytes, then an empty
    // last block.
    let huge = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x01, 0x00, 0x00];
    let level_22 = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 17 << 3, 0x01, 0x00, 0x00];
    assert!(is_corrupt(&decompress(Codec::Zstd, &huge, 1 << 20)));
    assert_eq!(decompress(Codec::Zstd, &level_22, 1 << 20).unwrap(), []);
}

#[test]
fn streams_that_are_cut_off_never_pass_for_whole() {
    let whole = text(100_000);
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let packed = compress(codec, 1, &whole).unwrap();
        for cut in (0..packed.len()).step_by(97).chain([packed.len() - 1]) {
            let output = decompress(codec, &packed[..cut], 1 << 20).unwrap_or_default();
            assert!(output.len() < whole.len() || output == whole, "{codec:?} {cut}");
        }
    }
}

/// Words that come back in ever another order: what a codec that looks harder makes smaller.
fn prose(words: u32) -> Vec<u8> {
    let word = |number: u32| {
        let scattered = number.wrapping_mul(2_654_435_761) >> 20;
        format!("{} ", scattered * scattered % 1009)
    };
    (0..words).flat_map(|number| word(number).into_bytes()).collect()
}

#[test]
fn a_level_that_takes_longer_makes_less_of_the_same() {
    let text = prose(20_000);
    for (codec, quick, thorough) in [
        (Codec::Gzip, 1, 9),
        (Codec::Lz4, 9, 12),
        (Codec::Lz4, 1, 3),
        (Codec::Zstd, 1, 19),
        (Codec::Zstd, -50, 3),
    ] {
        let [quick, thorough] = [quick, thorough].map(|level| {
            let packed = compress(codec, level, &text).unwrap();
            assert_eq!(decompress(codec, &packed, text.len()).unwrap(), text, "{codec:?} {level}");
            packed.len()
        });
        assert!(thorough * 100 < quick * 98, "{codec:?}: {thorough} and {quick} bytes");
    }
}

#[test]
fn levels_of_every_codec_are_taken() {
    for (codec, level) in [
        (Codec::Gzip, -1),
        (Codec::Gzip, 9),
        (Codec::Lz4, 1),
        (Codec::Lz4, 17),
        (Codec::Zstd, -5),
        (Codec::Zstd, 22),
    ] {
        let packed = compress(codec, level, &text(1000)).unwrap();
        assert_eq!(decompress(codec, &packed, 1000).unwrap(), text(1000));
    }
}

proptest! {
    #[test]
    fn any_bytes_survive_any_codec(
        bytes in prop::collection::vec(any::<u8>(), 0..3000),
        codec in prop::sample::select(CODECS.to_vec()),
    ) {
        let packed = compress(codec, 1, &bytes).unwrap();
        prop_assert_eq!(decompress(codec, &packed, bytes.len()).unwrap(), bytes);
    }

    #[test]
    fn random_and_damaged_streams_never_panic_nor_pass_the_cap(
        noise in prop::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
        codec in prop::sample::select(CODECS.to_vec()),
    ) {
        let mut packed = compress(codec, 1, &text(3000)).unwrap();
        let at = at.index(packed.len());
        for (place, byte) in packed[at..].iter_mut().zip(&noise) {
            *place = *byte;
        }
        for input in [&noise[..], &packed[..]] {
            if let Ok(output) = decompress(codec, input, 5000) {
                prop_assert!(output.len() <= 5000);
            }
        }
    }
}
