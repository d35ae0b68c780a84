//! Where reading begins: `beginning`, `end`, `1234`, `-10`, `2026-11-21T14:00:00`, `2026-11-21`, `s@1795269600000`, `2h`.

use crate::cli::client::{Client, ClientError, OffsetAt, Offsets, PartitionId};
use crate::cli::time::{parse_datetime, parse_duration};
use crate::clock;
use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

/// From here on a number that no partition reaches may be meant as a time: 2001-09-09. Larger: times are not recognised.
/// Smaller: offsets are taken for them.
const MILLISECONDS_MIN: i64 = 1_000_000_000_000;

/// A place in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The first record that is there.
    Beginning,
    /// Behind the last.
    End,
    /// This offset.
    Offset(i64),
    /// So many records before the end.
    Last(i64),
    /// The first record from this time on, in milliseconds since 1970.
    Time(i64),
    /// The first record that is no older than this.
    Ago(Duration),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "beginning" | "earliest" => return Ok(Self::Beginning),
            "end" | "latest" => return Ok(Self::End),
            _ => {}
        }
        if let Ok(number) = text.parse::<i64>() {
            return Ok(if text.starts_with('-') {
                Self::Last(number.saturating_neg())
            } else {
                Self::Offset(number)
            });
        }
        if let Some(Ok(milliseconds)) = text.strip_prefix("s@").map(str::parse) {
            return Ok(Self::Time(milliseconds));
        }
        let time = parse_datetime(text).or_else(|_| parse_datetime(&format!("{text}T00:00:00")));
        time.map(Self::Time).or_else(|_| parse_duration(text).map(Self::Ago)).map_err(|_| {
            format!(
                "{text} is no place: beginning, end, an offset, -N, a time such as 2026-11-21T14:00:00, 2026-11-21 or \
                 s@1795269600000, or 2h"
            )
        })
    }
}

/// What is said where an offset is wanted that no partition has yet; `positions` are where they are read instead.
pub(super) fn beyond_the_end(place: &Place, positions: &BTreeMap<PartitionId, i64>) -> Option<String> {
    let Place::Offset(wanted) = place else { return None };
    let (partition, end) =
        positions.iter().max_by_key(|(_, next)| **next).filter(|(_, next)| *next < wanted)?;
    let name = format!("{}-{}", partition.topic, partition.partition);
    let what = match positions.len() {
        1 => format!("offset {wanted} is beyond the end of {name}, which is {end}: it is read from there on"),
        _ => format!(
            "offset {wanted} is beyond the end of every partition (the furthest is {name}, to {end}): they are read from \
             their ends on"
        ),
    };
    let is_time = *wanted >= MILLISECONDS_MIN;
    Some(if is_time { format!("{what}; a time in milliseconds is s@{wanted}") } else { what })
}

/// The offset at which each partition is read first.
pub(super) async fn positions(
    client: &mut Client,
    partitions: &[PartitionId],
    place: &Place,
) -> Result<BTreeMap<PartitionId, i64>, ClientError> {
    let now_ms = clock::now().0;
    let of_time = match place {
        Place::Time(time) => Some(*time),
        Place::Ago(age) => Some(now_ms.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))),
        Place::Beginning | Place::End | Place::Offset(_) | Place::Last(_) => None,
    };
    let first = known(client.offsets(partitions, OffsetAt::Earliest).await?)?;
    let end = known(client.offsets(partitions, OffsetAt::Latest).await?)?;
    let by_time = match of_time {
        Some(time) => known(client.offsets(partitions, OffsetAt::Timestamp(time.max(0))).await?)?,
        None => BTreeMap::new(),
    };
    let position = |partition: &PartitionId| {
        let of = |offsets: &BTreeMap<PartitionId, Option<i64>>| offsets.get(partition).copied().flatten();
        let (first, end) = (of(&first).unwrap_or(0), of(&end).unwrap_or(0));
        match place {
            Place::Beginning => first,
            Place::End => end,
            Place::Offset(offset) => (*offset).clamp(first, end),
            Place::Last(count) => end.saturating_sub(*count).max(first),
            // No record is that late.
            Place::Time(_) | Place::Ago(_) => of(&by_time).unwrap_or(end),
        }
    };
    Ok(partitions.iter().map(|partition| (partition.clone(), position(partition))).collect())
}

/// The offsets, where every partition could be asked.
fn known(offsets: Offsets) -> Result<BTreeMap<PartitionId, Option<i64>>, ClientError> {
    let known = offsets.into_iter().map(|(partition, offset)| match offset {
        Ok(offset) => Ok((partition, offset)),
        Err(error) => {
            let what = format!("the offsets of {}-{}", partition.topic, partition.partition);
            Err(ClientError::Refused { what, error })
        }
    });
    known.collect()
}

#[cfg(test)]
mod tests {
    use super::{Place, beyond_the_end};
    use crate::cli::client::PartitionId;
    use std::collections::BTreeMap;
    use std::time::Duration;

    #[test]
    fn places_are_words_offsets_times_or_ages() {
        let cases = [
            ("beginning", Place::Beginning),
            ("latest", Place::End),
            ("0", Place::Offset(0)),
            ("1234", Place::Offset(1234)),
            ("-10", Place::Last(10)),
            ("-0", Place::Last(0)),
            ("2026-11-21T14:00:00", Place::Time(1_795_269_600_000)),
            ("2026-11-21", Place::Time(1_795_219_200_000)),
            ("s@1795269600000", Place::Time(1_795_269_600_000)),
            ("2h", Place::Ago(Duration::from_secs(7200))),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in ["", "first", "1.5", "-h", "yesterday", "s@", "s@x", "2026-11", "2026-02-29", "T"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_offset_that_no_partition_has_is_told() {
        let positions = |ends: &[i64]| -> BTreeMap<PartitionId, i64> {
            let named = (0..).zip(ends);
            named
                .map(|(partition, end)| (PartitionId { topic: "events".to_owned(), partition }, *end))
                .collect()
        };
        let said = |wanted, ends: &[i64]| beyond_the_end(&Place::Offset(wanted), &positions(ends));
        assert_eq!(said(4, &[4]), None, "the next record is waited for");
        assert_eq!(said(4, &[0, 4]), None, "one partition has it");
        assert_eq!(beyond_the_end(&Place::End, &positions(&[4])), None);
        assert_eq!(
            said(5, &[4]).as_deref(),
            Some("offset 5 is beyond the end of events-0, which is 4: it is read from there on")
        );
        let several = said(1_795_269_600_000, &[1, 4]).unwrap_or_default();
        assert!(several.contains("of every partition (the furthest is events-1, to 4)"), "{several}");
        assert!(several.ends_with("; a time in milliseconds is s@1795269600000"), "{several}");
    }
}
