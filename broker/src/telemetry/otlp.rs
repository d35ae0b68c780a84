//! What clients push: OpenTelemetry's `MetricsData`, as far as it is shown.
//!
//! The messages are opentelemetry-proto's `metrics.proto`, with the fields that are read and no others; `prost` skips the
//! rest. Gauges and sums have a value for each point; of a histogram the count and the sum are taken. Exponential histograms
//! and summaries, which no client of Kafka's sends, are left out. Source: KIP-714, opentelemetry-proto 1.3.

use super::series::{LABELS_MAX, shortened};
use prost::Message;

#[derive(Clone, PartialEq, Message)]
struct MetricsData {
    #[prost(message, repeated, tag = "1")]
    resource_metrics: Vec<ResourceMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceMetrics {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_metrics: Vec<ScopeMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeMetrics {
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "5")]
    gauge: Option<Numbers>,
    #[prost(message, optional, tag = "7")]
    sum: Option<Numbers>,
    #[prost(message, optional, tag = "9")]
    histogram: Option<Histogram>,
}

/// A gauge or a sum, which differ in fields that only a sum has.
#[derive(Clone, PartialEq, Message)]
struct Numbers {
    #[prost(message, repeated, tag = "1")]
    data_points: Vec<NumberDataPoint>,
    #[prost(int32, tag = "2")]
    aggregation_temporality: i32,
}

#[derive(Clone, PartialEq, Message)]
struct NumberDataPoint {
    #[prost(double, optional, tag = "4")]
    as_double: Option<f64>,
    #[prost(sfixed64, optional, tag = "6")]
    as_int: Option<i64>,
    #[prost(message, repeated, tag = "7")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(message, repeated, tag = "1")]
    data_points: Vec<HistogramDataPoint>,
    #[prost(int32, tag = "2")]
    aggregation_temporality: i32,
}

#[derive(Clone, PartialEq, Message)]
struct HistogramDataPoint {
    #[prost(fixed64, tag = "4")]
    count: u64,
    #[prost(double, optional, tag = "5")]
    sum: Option<f64>,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

/// A value that is neither list nor bytes.
#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(string, optional, tag = "1")]
    string_value: Option<String>,
    #[prost(bool, optional, tag = "2")]
    bool_value: Option<bool>,
    #[prost(int64, optional, tag = "3")]
    int_value: Option<i64>,
    #[prost(double, optional, tag = "4")]
    double_value: Option<f64>,
}

/// The temporality of sums of what came since the last push.
const DELTA: i32 = 1;

/// One value that a client pushed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) metric: String,
    /// Those of the resource and of the point, in this order.
    pub(super) attributes: Vec<(String, String)>,
    pub(super) value: f64,
    /// Whether it adds to what was pushed before.
    pub(super) is_delta: bool,
}

/// The bytes are no `MetricsData`.
#[derive(Debug, thiserror::Error)]
#[error("the metrics cannot be read: {0}")]
pub(super) struct MalformedMetrics(#[from] prost::DecodeError);

/// The values in `bytes`, in order, `count_max` at most. What is repeated for each of them, the name of its metric and the
/// attributes of its resource, is shortened before.
///
/// # Errors
/// [`MalformedMetrics`].
pub(super) fn read(bytes: &[u8], count_max: usize) -> Result<Vec<Point>, MalformedMetrics> {
    let mut points = Vec::new();
    for of_resource in MetricsData::decode(bytes)?.resource_metrics {
        let resource = of_resource.resource.map(|resource| texts(resource.attributes)).unwrap_or_default();
        for metric in of_resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
            read_metric(metric, &resource, count_max, &mut points);
        }
    }
    Ok(points)
}

fn read_metric(metric: Metric, resource: &[(String, String)], count_max: usize, points: &mut Vec<Point>) {
    let Metric { name, gauge, sum, histogram } = metric;
    let name = shortened(&name).to_owned();
    let mut take = |metric: &str, attributes: Vec<KeyValue>, value: f64, temporality: i32| {
        if points.len() < count_max {
            let attributes = [resource, &texts(attributes)].concat();
            let is_delta = temporality == DELTA;
            points.push(Point { metric: metric.to_owned(), attributes, value, is_delta });
        }
    };
    let numbers = [gauge.map(|gauge| Numbers { aggregation_temporality: 0, ..gauge }), sum];
    for Numbers { data_points, aggregation_temporality } in numbers.into_iter().flatten() {
        for number in data_points {
            let Some(value) = number.as_double.or(number.as_int.map(|value| value as f64)) else { continue };
            take(&name, number.attributes, value, aggregation_temporality);
        }
    }
    if let Some(Histogram { data_points, aggregation_temporality }) = histogram {
        for data_point in data_points {
            let HistogramDataPoint { count, sum, attributes } = data_point;
            take(&format!("{name}.count"), attributes.clone(), count as f64, aggregation_temporality);
            if let Some(sum) = sum {
                take(&format!("{name}.sum"), attributes, sum, aggregation_temporality);
            }
        }
    }
}

fn texts(attributes: Vec<KeyValue>) -> Vec<(String, String)> {
    let text = |value: AnyValue| {
        let other = || {
            let number = value.int_value.map(|number| number.to_string());
            number
                .or_else(|| value.bool_value.map(|flag| flag.to_string()))
                .or_else(|| value.double_value.map(|number| number.to_string()))
        };
        match value.string_value {
            Some(text) => Some(text),
            None => other(),
        }
    };
    let shown = attributes.into_iter().filter_map(|KeyValue { key, value }| {
        Some((shortened(&key).to_owned(), shortened(&text(value?)?).to_owned()))
    });
    shown.take(LABELS_MAX).collect()
}

/// A push for tests: a gauge of this name with a point of each value, which has the attribute `topic`.
#[cfg(test)]
pub(crate) fn gauge_for_tests(name: &str, points: &[(&str, f64)]) -> Vec<u8> {
    let text = |key: &str, value: &str| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { string_value: Some(value.to_owned()), ..AnyValue::default() }),
    };
    let data_points = points.iter().map(|(topic, value)| NumberDataPoint {
        as_double: Some(*value),
        as_int: None,
        attributes: vec![text("topic", topic)],
    });
    let gauge = Numbers { data_points: data_points.collect(), aggregation_temporality: 0 };
    let metric = Metric { name: name.to_owned(), gauge: Some(gauge), ..Metric::default() };
    let resource = Resource { attributes: vec![text("client_rack", "here")] };
    let of_resource = ResourceMetrics {
        resource: Some(resource),
        scope_metrics: vec![ScopeMetrics { metrics: vec![metric] }],
    };
    MetricsData { resource_metrics: vec![of_resource] }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::super::series::TEXT_BYTES_MAX;
    use super::*;

    fn points(bytes: &[u8]) -> Vec<Point> {
        read(bytes, usize::MAX).unwrap()
    }

    #[test]
    fn points_carry_the_attributes_of_their_resource_and_their_own() {
        let points = points(&gauge_for_tests("a.b", &[("x", 1.5), ("y", -2.0)]));
        let attribute = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let expected = |topic: &str, value: f64| Point {
            metric: "a.b".to_owned(),
            attributes: vec![attribute("client_rack", "here"), attribute("topic", topic)],
            value,
            is_delta: false,
        };
        assert_eq!(points, [expected("x", 1.5), expected("y", -2.0)]);
    }

    #[test]
    fn sums_add_up_where_they_are_deltas_and_histograms_are_their_count_and_sum() {
        let number = NumberDataPoint { as_double: None, as_int: Some(7), attributes: Vec::new() };
        let sum = Numbers { data_points: vec![number], aggregation_temporality: DELTA };
        let data_point = HistogramDataPoint { count: 3, sum: Some(4.5), attributes: Vec::new() };
        let histogram = Histogram { data_points: vec![data_point], aggregation_temporality: 2 };
        let metrics = vec![
            Metric { name: "s".to_owned(), sum: Some(sum), ..Metric::default() },
            Metric { name: "h".to_owned(), histogram: Some(histogram), ..Metric::default() },
        ];
        let of_resource = ResourceMetrics { resource: None, scope_metrics: vec![ScopeMetrics { metrics }] };
        let bytes = MetricsData { resource_metrics: vec![of_resource] }.encode_to_vec();
        let found: Vec<_> =
            points(&bytes).into_iter().map(|point| (point.metric, point.value, point.is_delta)).collect();
        let expected = [("s", 7.0, true), ("h.count", 3.0, false), ("h.sum", 4.5, false)];
        assert_eq!(found, expected.map(|(name, value, is_delta)| (name.to_owned(), value, is_delta)));
    }

    #[test]
    fn no_text_is_repeated_that_is_longer_than_what_is_shown() {
        let topics = "t".repeat(100_000);
        let points = read(&gauge_for_tests(&"n".repeat(100_000), &[(topics.as_str(), 1.0); 5]), 3).unwrap();
        assert_eq!(points.len(), 3);
        for point in points {
            assert_eq!(point.metric.len(), TEXT_BYTES_MAX);
            assert_eq!(point.attributes.last().map(|(_, topic)| topic.len()), Some(TEXT_BYTES_MAX));
        }
    }

    #[test]
    fn every_cut_of_a_push_is_read_or_refused() {
        let bytes = gauge_for_tests("a.b", &[("x", 1.5), ("y", -2.0)]);
        for cut in 0..bytes.len() {
            // Whatever it holds, it does no harm.
            let _read_or_refused = read(&bytes[..cut], usize::MAX).is_ok();
        }
        assert!(read(&[0xff; 20], usize::MAX).is_err());
    }
}
