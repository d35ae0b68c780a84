//! What one client has pushed, as Prometheus shows it.
//!
//! A metric is named `kafka_client_` and its name without `org.apache.kafka.`, so that no client can take the name of a metric
//! of this node's own; attributes become labels.

use super::otlp::Point;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The most series of one client. Larger: one client takes the room of many. Smaller: a consumer of very many partitions is not
/// seen as a whole.
pub(super) const SERIES_PER_CLIENT_MAX: usize = 1000;

/// The longest text of a name or a label, in bytes. Larger: texts that are made up take more memory. Smaller: long names of
/// topics cannot be told apart.
pub(super) const TEXT_BYTES_MAX: usize = 250;

/// The most attributes of a resource, or of a point, and the most of both that become labels. Larger: more memory for what is
/// made up. Smaller: what tells series apart is lost.
pub(super) const LABELS_MAX: usize = 8;

/// What every metric of Kafka's own begins with.
const KAFKA: &str = "org.apache.kafka.";

/// The series of one client, by metric and labels as they are shown.
#[derive(Debug, Default)]
pub(super) struct Series {
    values: BTreeMap<(String, String), f64>,
}

impl Series {
    /// Takes in `point`, whose labels begin with `own`. Says whether there was room: `room` is how many series may be added.
    pub(super) fn take(&mut self, own: &str, point: &Point, room: usize) -> bool {
        let Some(name) = metric_name(&point.metric) else { return false };
        let key = (name, labels(own, &point.attributes));
        let has_room = room > 0 && self.values.len() < SERIES_PER_CLIENT_MAX;
        match self.values.get_mut(&key) {
            Some(value) if point.is_delta => *value += point.value,
            Some(value) => *value = point.value,
            None if has_room => {
                self.values.insert(key, point.value);
            }
            None => return false,
        }
        true
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// Metric, labels and value of each.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str, f64)> {
        self.values.iter().map(|((name, labels), value)| (name.as_str(), labels.as_str(), *value))
    }
}

/// The labels of a client itself, which no attribute replaces.
pub(super) fn own_labels(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    pairs.iter().for_each(|(name, value)| push_label(&mut text, name, shortened(value)));
    text
}

/// `name` in the alphabet of Prometheus; none where nothing is left of it.
fn metric_name(name: &str) -> Option<String> {
    let name = name.strip_prefix(KAFKA).unwrap_or(name);
    (!name.is_empty()).then(|| format!("kafka_client_{}", in_alphabet(shortened(name))))
}

fn in_alphabet(name: &str) -> String {
    name.chars().map(|character| if character.is_ascii_alphanumeric() { character } else { '_' }).collect()
}

fn labels(own: &str, attributes: &[(String, String)]) -> String {
    let mut text = own.to_owned();
    for (name, value) in attributes.iter().take(LABELS_MAX) {
        let mut name = in_alphabet(shortened(name));
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            name.insert(0, '_');
        }
        // A label stands once; the first one holds.
        let is_there = text.starts_with(&format!("{name}=\"")) || text.contains(&format!(",{name}=\""));
        if !is_there {
            push_label(&mut text, &name, shortened(value));
        }
    }
    text
}

fn push_label(text: &mut String, name: &str, value: &str) {
    if !text.is_empty() {
        text.push(',');
    }
    text.push_str(name);
    text.push_str("=\"");
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text.push('"');
}

/// As much of it as is shown.
pub(super) fn shortened(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or(text)
}

/// Series of many clients in the text format of Prometheus: a head for each metric, then its samples.
pub(super) fn render<'a>(series: impl Iterator<Item = (&'a str, &'a str, f64)>) -> String {
    let mut by_name: BTreeMap<&str, Vec<(&str, f64)>> = BTreeMap::new();
    for (name, labels, value) in series {
        by_name.entry(name).or_default().push((labels, value));
    }
    let mut text = String::new();
    for (name, samples) in by_name {
        // Writing to a string cannot fail.
        let _infallible = write!(
            text,
            "# HELP {name} As clients that are asked for it push it (KIP-714).\n# TYPE {name} untyped\n"
        );
        for (labels, value) in samples {
            let _infallible = match value {
                value if value == f64::INFINITY => writeln!(text, "{name}{{{labels}}} +Inf"),
                value if value == f64::NEG_INFINITY => writeln!(text, "{name}{{{labels}}} -Inf"),
                value => writeln!(text, "{name}{{{labels}}} {value}"),
            };
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Point, SERIES_PER_CLIENT_MAX, Series, own_labels, render};

    fn point(metric: &str, attributes: &[(&str, &str)], value: f64) -> Point {
        let attributes =
            attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Point { metric: metric.to_owned(), attributes, value, is_delta: false }
    }

    #[test]
    fn series_are_shown_under_names_that_are_no_node_s_own() {
        let own = own_labels(&[("client_id", "a\"b")]);
        let mut series = Series::default();
        for point in [
            point(
                "org.apache.kafka.producer.record.send.rate",
                &[("node.id", "1"), ("node_id", "2"), ("1st", "x\ny")],
                1.5,
            ),
            point("org.apache.kafka.producer.record.send.rate", &[("client_id", "other")], f64::INFINITY),
            point("ottla_topics", &[], f64::NAN),
            point("", &[], 1.0),
        ] {
            let is_taken = series.take(&own, &point, 100);
            assert_eq!(is_taken, !point.metric.is_empty());
        }
        let expected = "\
# HELP kafka_client_ottla_topics As clients that are asked for it push it (KIP-714).
# TYPE kafka_client_ottla_topics untyped
kafka_client_ottla_topics{client_id=\"a\\\"b\"} NaN
# HELP kafka_client_producer_record_send_rate As clients that are asked for it push it (KIP-714).
# TYPE kafka_client_producer_record_send_rate untyped
kafka_client_producer_record_send_rate{client_id=\"a\\\"b\"} +Inf
kafka_client_producer_record_send_rate{client_id=\"a\\\"b\",node_id=\"1\",_1st=\"x\\ny\"} 1.5
";
        assert_eq!(render(series.iter()), expected);
    }

    #[test]
    fn deltas_add_up_and_other_values_take_the_place_of_the_last() {
        let mut series = Series::default();
        for (is_delta, value) in [(true, 2.0), (true, 3.0), (false, 1.0)] {
            assert!(series.take("", &Point { is_delta, ..point("m", &[], value) }, 100));
            let shown: Vec<f64> = series.iter().map(|(_, _, value)| value).collect();
            assert_eq!(shown, [if is_delta && value > 2.0 { 5.0 } else { value }]);
        }
    }

    #[test]
    fn one_client_has_so_many_series_and_texts_of_so_many_bytes() {
        let mut series = Series::default();
        for number in 0..=SERIES_PER_CLIENT_MAX {
            let text = format!("{number}{}", "ü".repeat(10_000));
            let is_taken = series.take("", &point("m", &[("topic", &text)], 1.0), usize::MAX);
            assert_eq!(is_taken, number < SERIES_PER_CLIENT_MAX);
        }
        assert!(series.iter().all(|(_, labels, _)| labels.len() < 300));
        assert!(!series.take("", &point("n", &[], 1.0), 0), "there is no room");
    }
}
