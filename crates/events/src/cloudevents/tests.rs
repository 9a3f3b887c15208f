//! The examples of the specification, and every event there and back.

use proptest::prelude::*;
use shared_core::{Actor, Context, Id, TenantId};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::datetime;
use uuid::Uuid;

#[cfg(any(feature = "redis", feature = "nats"))]
use super::Headers;
use super::{CloudEvent, Data, InvalidCloudEvent, Source};
use crate::{Envelope, LANES, Lane, Place};

/// The specification's example with XML as data (JSON format, 3.2).
const XML: &str = r#"{
    "specversion" : "1.0", "type" : "com.example.someevent", "source" : "/mycontext", "subject": null,
    "id" : "C234-1234-1234", "time" : "2018-04-05T17:31:00Z", "comexampleextension1" : "value",
    "comexampleothervalue" : 5, "datacontenttype" : "application/xml", "data" : "<much wow=\"xml\"/>" }"#;
/// With bytes.
const BYTES: &str = r#"{
    "specversion" : "1.0", "type" : "com.example.someevent", "source" : "/mycontext", "id" : "A234-1234-1234",
    "time" : "2018-04-05T17:31:00Z", "comexampleextension1" : "value", "comexampleothervalue" : 5,
    "datacontenttype" : "application/vnd.apache.thrift.binary", "data_base64" : "AAECAwQ=" }"#;
/// With a JSON object.
const OBJECT: &str = r#"{
    "specversion" : "1.0", "type" : "com.example.someevent", "source" : "/mycontext", "subject": null,
    "id" : "C234-1234-1234", "time" : "2018-04-05T17:31:00Z", "comexampleextension1" : "value",
    "comexampleothervalue" : 5, "datacontenttype" : "application/json",
    "data" : { "appinfoA" : "abc", "appinfoB" : 123, "appinfoC" : true } }"#;

#[test]
fn the_specification_s_examples_are_read() {
    let event = CloudEvent::from_json(XML).unwrap();
    assert_eq!((event.id.as_str(), event.source.as_str()), ("C234-1234-1234", "/mycontext"));
    assert_eq!((event.kind.as_str(), event.subject.clone()), ("com.example.someevent", None));
    assert_eq!(event.time, Some(datetime!(2018-04-05 17:31 UTC)));
    let extensions: Vec<_> =
        event.extensions.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(extensions, [("comexampleextension1", "value"), ("comexampleothervalue", "5")]);
    assert_eq!(event.data, Some(Data::Text(r#"<much wow="xml"/>"#.to_owned())));

    let event = CloudEvent::from_json(BYTES).unwrap();
    assert_eq!(event.data, Some(Data::Bytes(vec![0, 1, 2, 3, 4])));

    let event = CloudEvent::from_json(OBJECT).unwrap();
    let object = r#"{ "appinfoA" : "abc", "appinfoB" : 123, "appinfoC" : true }"#;
    assert_eq!(event.data, Some(Data::Json(object.to_owned())), "as it was written");
}

#[test]
fn batches_are_lists() {
    assert_eq!(CloudEvent::batch_from_json("[]").unwrap(), []);
    let batch = CloudEvent::batch_from_json(&format!("[{XML},{BYTES},{OBJECT}]")).unwrap();
    assert_eq!(batch.len(), 3);
    assert_eq!(CloudEvent::batch_from_json(&CloudEvent::batch_to_json(&batch)).unwrap(), batch);
    assert_eq!(CloudEvent::batch_from_json(OBJECT), Err(InvalidCloudEvent::Json));
}

/// The Kafka binding's example (3.2.5), and values that need no escapes.
#[test]
fn the_kafka_binding_s_example_is_read_and_written() {
    let headers = [
        ("ce_specversion", "1.0"),
        ("ce_type", "com.example.someevent"),
        ("ce_source", "/mycontext/subcontext"),
        ("ce_id", "1234-1234-1234"),
        ("ce_time", "2018-04-05T03:56:24Z"),
        ("ce_euro", "Euro € 😀, 100 %"),
        ("content-type", "application/avro"),
        ("traceid", "of somebody else"),
    ];
    let event = CloudEvent::from_kafka(&headers, vec![0, 255]).unwrap();
    assert_eq!(event.time, Some(datetime!(2018-04-05 3:56:24 UTC)));
    assert_eq!(event.extensions["euro"], "Euro € 😀, 100 %");
    assert_eq!(event.data, Some(Data::Bytes(vec![0, 255])));
    let message = event.to_kafka();
    assert_eq!(message.body, [0, 255]);
    for (name, value) in &headers[..7] {
        assert!(message.headers.contains(&((*name).to_owned(), (*value).to_owned())), "{name}");
    }
    assert_eq!(message.headers.len(), 7);
    assert_eq!(CloudEvent::from_kafka(&message.headers, message.body).unwrap(), event);
}

/// The HTTP binding's example (3.1.4), and its example of a header (3.1.3.2).
#[test]
fn the_http_binding_s_examples_are_read_and_written() {
    let headers = [
        ("Host", "webhook.example.com"),
        ("ce-specversion", "1.0"),
        ("ce-type", "com.example.someevent"),
        ("CE-Time", "2018-04-05T03:56:24Z"),
        ("ce-id", "1234-1234-1234"),
        ("ce-source", "/mycontext/subcontext"),
        ("ce-quoted", r#""a \"quoted\" \\ text""#),
        ("ce-euro", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
        ("Content-Type", "application/json; charset=utf-8"),
    ];
    let event = CloudEvent::from_binary(&headers, br#"{"n":1}"#.to_vec()).unwrap();
    assert_eq!(event.time, Some(datetime!(2018-04-05 3:56:24 UTC)));
    assert_eq!(event.extensions["euro"], "Euro € 😀");
    assert_eq!(event.extensions["quoted"], r#"a "quoted" \ text"#);
    assert_eq!(event.data, Some(Data::Json(r#"{"n":1}"#.to_owned())));

    let message = event.to_binary();
    let header =
        |name: &str| message.headers.iter().find(|header| header.0 == name).map(|header| header.1.as_str());
    assert_eq!(header("ce-euro"), Some("Euro%20%E2%82%AC%20%F0%9F%98%80"));
    assert_eq!(header("ce-quoted"), Some(r"a%20%22quoted%22%20\%20text"));
    assert_eq!(header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(CloudEvent::from_binary(&message.headers, message.body).unwrap(), event);
}

#[test]
fn what_is_no_event_is_refused_with_a_reason() {
    let with =
        |change: &str| format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t",{change}}}"#);
    for (text, why) in [
        ("", "expected a JSON object for each event"),
        ("[1]", "expected a JSON object for each event"),
        (r#"{"id":"1","source":"/s","type":"t"}"#, "attribute `specversion`: expected `1.0`"),
        (
            r#"{"specversion":"1.0","id":"","source":"/s","type":"t"}"#,
            "attribute `id`: expected a text that is not empty",
        ),
        (
            r#"{"specversion":"1.0","id":"1","type":"t"}"#,
            "attribute `source`: expected a text that is not empty",
        ),
        (&with(r#""time":"today""#), "attribute `time`: expected a time such as 2018-04-05T17:31:00Z"),
        (&with(r#""subject":"""#), "attribute `subject`: expected a text that is not empty, or nothing"),
        (&with(r#""Upper":"x""#), "the name of an attribute has lower-case letters and digits alone"),
        (&with(r#""list":[]"#), "attribute `list`: expected a text, an integer, or a boolean"),
        (&with(r#""half":0.5"#), "attribute `half`: expected a text, an integer, or a boolean"),
        (&with(r#""data":1,"data_base64":"AA==""#), "the data: expected either `data` or `data_base64`"),
        (&with(r#""data_base64":"?""#), "the data: expected `data_base64` to be Base64"),
    ] {
        assert_eq!(CloudEvent::from_json(text).unwrap_err().to_string(), why, "{text}");
    }
    let base = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")];
    for (header, body, why) in [
        (("ce-x", "%"), "", "a header's value is not percent-encoded UTF-8"),
        (("ce-x", "%C0%80"), "", "a header's value is not percent-encoded UTF-8"),
        (("ce-x", "\"open"), "", "a header's value is not percent-encoded UTF-8"),
        (("ce-id", "2"), "", "attribute `id`: expected it to be there once, as an attribute"),
        (("ce-a_b", "2"), "", "the name of an attribute has lower-case letters and digits alone"),
        (("content-type", "application/json"), "{", "the data: expected JSON, as its media type says"),
    ] {
        let headers = [&base[..], &[header]].concat();
        let refused = CloudEvent::from_binary(&headers, body.as_bytes().to_vec()).unwrap_err();
        assert_eq!(refused.to_string(), why, "{header:?}");
    }
}

#[test]
fn an_event_of_others_has_no_place_in_the_log() {
    let refused = Envelope::try_from(CloudEvent::from_json(OBJECT).unwrap()).unwrap_err();
    assert_eq!(refused.to_string(), "attribute `id`: expected a UUID");
    let mut event = CloudEvent::new(Uuid::nil().to_string(), "/s", "a.b");
    assert_eq!(
        Envelope::try_from(event.clone()).unwrap_err().to_string(),
        "attribute `tenantid`: expected a UUID"
    );
    event.extensions.insert("tenantid".to_owned(), Uuid::nil().to_string());
    event.extensions.insert("eventversion".to_owned(), "0".to_owned());
    let refused = Envelope::try_from(event).unwrap_err();
    assert_eq!(refused.to_string(), "attribute `eventversion`: expected an integer from 1");
}

/// What the database could not keep, or no clock tell, is no event: a reader passes it by.
#[test]
fn a_subject_that_is_no_key_and_a_time_beyond_all_years_are_refused() {
    let event = Source::new("/notes").unwrap().cloud_event(&envelope());
    assert!(Envelope::try_from(event.clone()).is_ok());
    for bad in [String::new(), "a\0b".to_owned(), "k".repeat(256)] {
        let refused = Envelope::try_from(CloudEvent { subject: Some(bad), ..event.clone() }).unwrap_err();
        assert!(refused.to_string().starts_with("attribute `subject`"), "{refused}");
    }
    let time = OffsetDateTime::parse("9999-12-31T23:59:59-01:00", &Rfc3339).unwrap();
    let refused = Envelope::try_from(CloudEvent { time: Some(time), ..event }).unwrap_err();
    assert!(refused.to_string().starts_with("attribute `time`"), "{refused}");
}

#[test]
fn names_of_our_own_attributes_are_as_the_specification_wants_them() {
    let source = Source::new("/notes").unwrap();
    let event = source.cloud_event(&Envelope { replay: true, ..envelope() });
    assert!(event.extensions.keys().all(|name| name.len() <= 20), "{:?}", event.extensions);
    assert_eq!(event.dataschema.as_deref(), Some("event:note.created/3"));
    for bad in ["", "two words", "a\"b", "ü"] {
        assert!(Source::new(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_belongs_to_an_event_stands_in_extension_attributes() {
    let context = Context::new(TenantId::from_uuid(Uuid::from_u128(7)), Actor::new("user:7"))
        .with_site(Id::from_uuid(Uuid::from_u128(8)))
        .with_delegate(Actor::new("support:1"))
        .with_correlation("request-7".parse().unwrap())
        .with_causation(Some(Uuid::from_u128(9)))
        .with_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().ok());
    let event = Source::new("/notes").unwrap().cloud_event(&Envelope { context, replay: true, ..envelope() });
    let expected = serde_json::json!({
        "specversion": "1.0", "id": "00000000-0000-0000-0000-000000000001", "source": "/notes", "type": "note.created",
        "subject": "note", "time": "2026-11-22T07:15:30.123456Z", "datacontenttype": "application/json",
        "dataschema": "event:note.created/3", "data": { "note": 1 },
        "tenantid": "00000000-0000-0000-0000-000000000007", "siteid": "00000000-0000-0000-0000-000000000008",
        "actor": "user:7", "delegate": "support:1", "correlationid": "request-7",
        "causationid": "00000000-0000-0000-0000-000000000009",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "eventversion": "3", "lane": "15", "place": "12-345", "replay": "true",
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&event.to_json()).unwrap(), expected);
    let batch = CloudEvent::batch_to_json(&[event.clone(), event]);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&batch).unwrap(),
        serde_json::json!([expected, expected])
    );
}

fn envelope() -> Envelope {
    let tenant = TenantId::from_uuid(Uuid::from_u128(7));
    Envelope {
        id: Uuid::from_u128(1),
        name: "note.created".to_owned(),
        version: 3,
        key: "note".to_owned(),
        tenant,
        at: datetime!(2026-11-22 7:15:30.123456 UTC),
        context: Context::new(tenant, Actor::new("user:7")),
        payload: r#"{"note":1}"#.to_owned(),
        lane: Lane::new(LANES - 1).unwrap(),
        place: Place::new(12, 345),
        replay: false,
        xid: None,
    }
}

prop_compose! {
    fn any_context(tenant: TenantId)(
        actor in any::<String>(),
        delegate in proptest::option::of(any::<String>()),
        site in proptest::option::of(any::<u128>()),
        correlation in "[!-~]{1,40}",
        causation in proptest::option::of(any::<u128>()),
        trace in proptest::option::of((1u128.., 1u64.., any::<bool>())),
    ) -> Context {
        let mut context = Context::new(tenant, Actor::new(actor))
            .with_correlation(correlation.parse().unwrap())
            .with_causation(causation.map(Uuid::from_u128))
            .with_traceparent(trace.and_then(|(trace, span, sampled)| shared_core::TraceParent::new(trace, span, sampled)));
        if let Some(site) = site { context = context.with_site(Id::from_uuid(Uuid::from_u128(site))); }
        if let Some(delegate) = delegate { context = context.with_delegate(Actor::new(delegate)); }
        context
    }
}

prop_compose! {
    fn any_envelope()(tenant in any::<u128>())(
        context in any_context(TenantId::from_uuid(Uuid::from_u128(tenant))),
        id in any::<u128>(), key in "[^\x00]{1,20}", version in 1u32..70_000, micros in 0i64..4_000_000_000_000_000,
        text in any::<String>(), lane in 0..LANES, tick in 0i64.., pos in 0i64.., replay in any::<bool>(),
    ) -> Envelope {
        Envelope {
            id: Uuid::from_u128(id),
            version,
            key,
            tenant: context.tenant(),
            at: OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).unwrap(),
            context,
            payload: serde_json::json!({ "text": text }).to_string(),
            lane: Lane::new(lane).unwrap(),
            place: Place::new(tick, pos),
            replay,
            ..envelope()
        }
    }
}

proptest! {
    #[test]
    fn every_event_goes_there_and_back(envelope in any_envelope()) {
        let event = Source::new("https://notes.example.com/a").unwrap().cloud_event(&envelope);
        prop_assert_eq!(&CloudEvent::from_json(&event.to_json()).unwrap(), &event);
        let message = event.to_binary();
        for (name, value) in &message.headers {
            prop_assert!(value.bytes().all(|byte| byte.is_ascii_graphic()), "{}: {}", name, value);
        }
        prop_assert_eq!(&CloudEvent::from_binary(&message.headers, message.body).unwrap(), &event);
        let attributes: Vec<_> = event.attributes().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        prop_assert_eq!(CloudEvent::from_attributes(attributes).unwrap().extensions, event.extensions.clone());
        prop_assert_eq!(Envelope::try_from(event).unwrap(), envelope);
    }

    #[cfg(any(feature = "redis", feature = "nats"))]
    #[test]
    fn the_headers_are_those_of_the_binary_form(envelope in any_envelope()) {
        let (source, mut headers) = (Source::new("/notes").unwrap(), Headers::default());
        source.headers(&envelope, &mut headers);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        prop_assert_eq!(headers, source.cloud_event(&envelope).to_binary().headers);
    }

    #[test]
    fn any_text_is_answered(text in any::<String>(), bytes in any::<Vec<u8>>()) {
        let _ = CloudEvent::from_json(&text);
        let _ = CloudEvent::batch_from_json(&text);
        let headers = [("ce-specversion", "1.0"), ("ce-id", &text), ("ce-source", "/s"), ("ce-type", "t"), ("content-type", &text)];
        let _ = CloudEvent::from_binary(&headers, bytes);
    }
}
