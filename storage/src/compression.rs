//! The codecs of record batches.

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    /// Not at all.
    None,
    /// Gzip (RFC 1952).
    Gzip,
    /// Snappy, in the blocks of the Java library's stream or raw.
    Snappy,
    /// The LZ4 frame format.
    Lz4,
    /// Zstandard. Source: KIP-110.
    Zstd,
}

impl Codec {
    /// The codec with this number in a batch's attributes, if there is one.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The number in a batch's attributes.
    #[must_use]
    pub fn number(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }
}
