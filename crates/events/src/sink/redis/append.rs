//! What `append.lua` is given. Most of what events say of themselves is the same for all of them, and goes once.

use shared_db::redis::{Call, Script};

use crate::cloudevents::{Headers, Source};
use crate::sink::fields;
use crate::{Envelope, Place};

static APPEND: Script =
    Script::new("events_append", concat!(include_str!("../ends.lua"), include_str!("../append.lua")));

/// Events that are appended together.
pub(super) struct Append<'a> {
    headers: Headers,
    shapes: Vec<Shape>,
    /// Each with its shape, and where its headers begin.
    events: Vec<(usize, usize, &'a Envelope)>,
}

/// Events that have the same headers, though not the same values.
struct Shape {
    /// Those of its first event begin here.
    first: usize,
    /// Of each whether its value is not always that of the first event.
    varies: Vec<bool>,
}

impl<'a> Append<'a> {
    pub(super) fn new(source: &Source, events: &'a [Envelope]) -> Self {
        let events_of = Vec::with_capacity(events.len());
        let mut append = Self { headers: Headers::default(), shapes: Vec::new(), events: events_of };
        for event in events {
            let first = append.headers.len();
            source.headers(event, &mut append.headers);
            let shape = append.shape(first);
            append.events.push((shape, first, event));
        }
        append
    }

    /// The shape of the event whose headers are the last ones, from here on.
    fn shape(&mut self, first: usize) -> usize {
        let Self { headers, shapes, .. } = self;
        let names = &headers.names()[first..];
        let is_its = |shape: &Shape| headers.names()[shape.first..][..shape.varies.len()] == *names;
        let Some(at) = shapes.iter().position(is_its) else {
            shapes.push(Shape { first, varies: vec![false; names.len()] });
            return shapes.len() - 1;
        };
        let shape = &mut shapes[at];
        for (field, varies) in shape.varies.iter_mut().enumerate() {
            *varies |= headers.value(shape.first + field) != headers.value(first + field);
        }
        at
    }

    /// The script's call for the stream of these keys, which keeps so many entries and should have this place.
    pub(super) fn call(&self, keys: &[String; 2], after: Place, keep: u32) -> Call {
        let own: Vec<Vec<usize>> = self.shapes.iter().map(|shape| self.own(shape)).collect();
        let call = APPEND.keys(keys).arg(after.to_string()).arg(keep).arg(self.shapes.len());
        let shapes = self.shapes.iter().zip(&own);
        let call = shapes.fold(call, |call, (shape, own)| self.describe(call, shape, own));
        self.events.iter().fold(call, |call, (shape, first, event)| {
            let values = own[*shape].iter().map(|field| self.headers.value(first + field));
            values.fold(call.arg(shape + 1), |call, value| call.arg(value)).arg(&event.payload)
        })
    }

    /// The fields of a shape that are each event's own: its place, and those that differ.
    fn own(&self, shape: &Shape) -> Vec<usize> {
        let is_place = |field: &usize| self.headers.names()[shape.first + field] == fields::PLACE;
        let fields = 0..shape.varies.len();
        let (place, others): (Vec<usize>, Vec<usize>) = fields.partition(is_place);
        place.into_iter().chain(others.into_iter().filter(|field| shape.varies[*field])).collect()
    }

    /// The names and values of a shape, and where an event's own values stand among them; behind the last of them its payload.
    fn describe(&self, call: Call, shape: &Shape, own: &[usize]) -> Call {
        let count = shape.varies.len();
        let all = shape.first..shape.first + count;
        let words = all.map(|at| (self.headers.names()[at], self.headers.value(at)));
        let call = words.fold(call.arg(2 * (count + 1)), |call, (name, value)| call.arg(name).arg(value));
        let call = call.arg(fields::DATA).arg("").arg(own.len() + 1);
        own.iter().chain([&count]).fold(call, |call, field| call.arg(2 * (field + 1)))
    }
}
