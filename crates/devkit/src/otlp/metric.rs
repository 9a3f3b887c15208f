use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data as Wire;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    self as wire, AggregationTemporality, ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint,
    SummaryDataPoint,
};

use super::value::{Attributes, Scope, attributes, known_time, resource, shown, time};

/// One point of a metric: its value for one set of attributes, with what is said about the metric and its origin.
/// Exemplars are left out.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Metric {
    /// The metric's name.
    pub name: String,
    /// What it is about, or nothing.
    pub description: String,
    /// Its unit, such as `s` or `{request}`, or nothing.
    pub unit: String,
    /// Which of the metric's series it is.
    pub attributes: Attributes,
    /// Since when it is counted, if that is known.
    pub start: Option<SystemTime>,
    /// When the value was taken.
    pub time: SystemTime,
    /// The value.
    pub data: MetricData,
    /// The program that it comes from, such as `service.name`.
    pub resource: Arc<Attributes>,
    /// The library that it comes from.
    pub scope: Arc<Scope>,
}

/// The value of a point, by the kind of its metric. Whole numbers are exact up to 2⁵³.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MetricData {
    /// How it is now.
    Gauge(f64),
    /// What came together.
    Sum {
        /// The sum.
        value: f64,
        /// It only grows.
        monotonic: bool,
        /// Since when.
        temporality: Temporality,
    },
    /// How often values fell into given ranges.
    Histogram {
        /// How many values.
        count: u64,
        /// Their sum, if it is known.
        sum: Option<f64>,
        /// The smallest, if it is known.
        min: Option<f64>,
        /// The largest, if it is known.
        max: Option<f64>,
        /// The upper bounds of all buckets but the last.
        bounds: Vec<f64>,
        /// How many values fell into each.
        buckets: Vec<u64>,
        /// Since when.
        temporality: Temporality,
    },
    /// How often values fell into ranges that grow by a constant factor.
    ExponentialHistogram {
        /// How many values.
        count: u64,
        /// Their sum, if it is known.
        sum: Option<f64>,
        /// The smallest, if it is known.
        min: Option<f64>,
        /// The largest, if it is known.
        max: Option<f64>,
        /// The factor is two to the power of two to the power of minus this.
        scale: i32,
        /// How many values were about zero.
        zeros: u64,
        /// The index of the first bucket of positive values, and how many fell into each.
        positive: (i32, Vec<u64>),
        /// The same for negative values.
        negative: (i32, Vec<u64>),
        /// Since when.
        temporality: Temporality,
    },
    /// Quantiles that the program has computed.
    Summary {
        /// How many values.
        count: u64,
        /// Their sum.
        sum: f64,
        /// Quantiles from 0 to 1, and the value at each.
        quantiles: Vec<(f64, f64)>,
    },
}

/// Since when a value is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Temporality {
    /// Not said.
    Unspecified,
    /// Since the point before.
    Delta,
    /// Since the start of the program.
    Cumulative,
}

impl Metric {
    /// The number of a gauge or a sum.
    pub fn value(&self) -> Option<f64> {
        match self.data {
            MetricData::Gauge(value) | MetricData::Sum { value, .. } => Some(value),
            _ => None,
        }
    }

    /// How many values a histogram or a summary has.
    pub fn count(&self) -> Option<u64> {
        match self.data {
            MetricData::Histogram { count, .. }
            | MetricData::ExponentialHistogram { count, .. }
            | MetricData::Summary { count, .. } => Some(count),
            MetricData::Gauge(_) | MetricData::Sum { .. } => None,
        }
    }
}

pub(super) fn metrics(request: ExportMetricsServiceRequest) -> Vec<Metric> {
    let mut metrics = Vec::new();
    for of_resource in request.resource_metrics {
        let resource = Arc::new(resource(of_resource.resource));
        for of_scope in of_resource.scope_metrics {
            let scope = Arc::new(Scope::of(of_scope.scope));
            for metric in of_scope.metrics {
                let wire::Metric { name, description, unit, data, .. } = metric;
                metrics.extend(data.into_iter().flat_map(points).map(|point| Metric {
                    name: name.clone(),
                    description: description.clone(),
                    unit: unit.clone(),
                    attributes: attributes(point.attributes),
                    start: known_time(point.start),
                    time: time(point.time),
                    data: point.data,
                    resource: Arc::clone(&resource),
                    scope: Arc::clone(&scope),
                }));
            }
        }
    }
    metrics
}

/// What the points of all kinds have.
struct Point {
    attributes: Vec<opentelemetry_proto::tonic::common::v1::KeyValue>,
    start: u64,
    time: u64,
    data: MetricData,
}

fn points(data: Wire) -> Vec<Point> {
    match data {
        Wire::Gauge(gauge) => numbers(gauge.data_points, MetricData::Gauge),
        Wire::Sum(sum) => {
            let (monotonic, temporality) = (sum.is_monotonic, Temporality::of(sum.aggregation_temporality()));
            numbers(sum.data_points, |value| MetricData::Sum { value, monotonic, temporality })
        }
        Wire::Histogram(histogram) => {
            let temporality = Temporality::of(histogram.aggregation_temporality());
            histogram.data_points.into_iter().map(|point| buckets(point, temporality)).collect()
        }
        Wire::ExponentialHistogram(histogram) => {
            let temporality = Temporality::of(histogram.aggregation_temporality());
            histogram.data_points.into_iter().map(|point| growing_buckets(point, temporality)).collect()
        }
        Wire::Summary(summary) => summary.data_points.into_iter().map(quantiles).collect(),
    }
}

fn numbers(points: Vec<NumberDataPoint>, data: impl Fn(f64) -> MetricData) -> Vec<Point> {
    let number = |value| match value {
        Some(Number::AsDouble(number)) => number,
        Some(Number::AsInt(number)) => number as f64,
        None => f64::NAN,
    };
    let point = |point: NumberDataPoint| Point {
        attributes: point.attributes,
        start: point.start_time_unix_nano,
        time: point.time_unix_nano,
        data: data(number(point.value)),
    };
    points.into_iter().map(point).collect()
}

fn buckets(point: HistogramDataPoint, temporality: Temporality) -> Point {
    let HistogramDataPoint { count, sum, min, max, explicit_bounds, bucket_counts, .. } = point;
    Point {
        attributes: point.attributes,
        start: point.start_time_unix_nano,
        time: point.time_unix_nano,
        data: MetricData::Histogram {
            count,
            sum,
            min,
            max,
            bounds: explicit_bounds,
            buckets: bucket_counts,
            temporality,
        },
    }
}

fn growing_buckets(point: ExponentialHistogramDataPoint, temporality: Temporality) -> Point {
    let ExponentialHistogramDataPoint { count, sum, min, max, scale, zero_count: zeros, .. } = point;
    let side = |buckets: Option<Buckets>| {
        let Buckets { offset, bucket_counts } = buckets.unwrap_or_default();
        (offset, bucket_counts)
    };
    let (positive, negative) = (side(point.positive), side(point.negative));
    Point {
        attributes: point.attributes,
        start: point.start_time_unix_nano,
        time: point.time_unix_nano,
        data: MetricData::ExponentialHistogram {
            count,
            sum,
            min,
            max,
            scale,
            zeros,
            positive,
            negative,
            temporality,
        },
    }
}

fn quantiles(point: SummaryDataPoint) -> Point {
    let quantiles = point.quantile_values.iter().map(|at| (at.quantile, at.value)).collect();
    Point {
        attributes: point.attributes,
        start: point.start_time_unix_nano,
        time: point.time_unix_nano,
        data: MetricData::Summary { count: point.count, sum: point.sum, quantiles },
    }
}

impl Temporality {
    fn of(temporality: AggregationTemporality) -> Self {
        match temporality {
            AggregationTemporality::Unspecified => Self::Unspecified,
            AggregationTemporality::Delta => Self::Delta,
            AggregationTemporality::Cumulative => Self::Cumulative,
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "metric `{}` {} {:?}", self.name, shown(&self.attributes), self.data)
    }
}
