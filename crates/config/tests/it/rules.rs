//! The rules of `#[validate(..)]`.

use shared_core::Config;
use shared_core::schema::{Code, Mistake, from_pairs};
use validator::{Validate, ValidationError};

#[derive(Config, Validate)]
#[config(prefix = "SHOP")]
#[validate(schema(function = "low_is_below_high"))]
struct Shop {
    #[validate(range(min = 1, max = 9))]
    #[config(default = 1)]
    low: u8,
    #[validate(range(min = 1, exclusive_max = 9))]
    #[config(default = 5)]
    high: u8,
    #[validate(length(min = 3, max = 5))]
    #[config(default = "abc")]
    name: String,
    #[validate(length(equal = 2))]
    #[config(default = "a,b")]
    pair: Vec<String>,
    #[validate(url)]
    #[config(default = "https://shop.example")]
    site: String,
    #[validate(email)]
    #[config(default = "me@shop.example")]
    mail: String,
    #[validate(custom(function = "is_even"), custom(function = "quotes"))]
    #[config(default = 2)]
    even: u32,
    #[validate(must_match(other = "name", message = "must be the name again"))]
    #[config(default = "abc")]
    again: String,
}

fn is_even(number: u32) -> Result<(), ValidationError> {
    if number.is_multiple_of(2) { Ok(()) } else { Err(ValidationError::new("even")) }
}

/// A careless author's rule, whose message holds the value.
fn quotes(number: u32) -> Result<(), ValidationError> {
    let message = format!("{number} is too much").into();
    if number < 1000 { Ok(()) } else { Err(ValidationError::new("small").with_message(message)) }
}

fn low_is_below_high(shop: &Shop) -> Result<(), ValidationError> {
    if shop.low < shop.high { Ok(()) } else { Err(ValidationError::new("low_is_below_high")) }
}

fn mistakes(pairs: &[(&str, &str)]) -> Vec<Mistake> {
    let mut mistakes = from_pairs::<Shop>(pairs.iter().copied()).err().expect("a mistake");
    mistakes.sort_by(|a, b| a.name.cmp(&b.name));
    mistakes
}

#[track_caller]
fn check(name: &str, text: &str, expected: &str) {
    let mistakes = mistakes(&[(name, text)]);
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert_eq!((mistakes[0].name.as_str(), mistakes[0].message.as_str()), (name, expected));
}

#[test]
fn ranges_lengths_and_urls_are_part_of_the_schema() {
    check("SHOP_LOW", "77", "expected an integer from 1 to 9, found 2 digits");
    check("SHOP_NAME", "ab", "expected a text of 3 to 5 characters, found 2 letters");
    check("SHOP_PAIR", "a", "expected 2 items, separated by commas, each a text, found 1 letter");
    check("SHOP_SITE", "shop.example", "expected a URL, found 12 characters");
}

#[test]
fn schema_rules_are_held_even_if_a_neighbour_is_wrong() {
    let mistakes = mistakes(&[("SHOP_LOW", "77"), ("SHOP_NAME", "ab"), ("SHOP_EVEN", "two")]);
    let codes: Vec<_> = mistakes.iter().map(|mistake| mistake.code).collect();
    assert_eq!(codes, [Code::WrongType, Code::OutOfRange, Code::OutOfRange]);
}

#[test]
fn other_rules_run_on_the_finished_struct_and_quote_nothing() {
    check("SHOP_HIGH", "10", "does not fulfil the rule `range`: at least 1 and less than 9");
    check("SHOP_MAIL", "nobody", "does not fulfil the rule `email`");
    check("SHOP_EVEN", "3", "does not fulfil the rule `even`");
    check("SHOP_EVEN", "4242", "does not fulfil the rule `small`");
    check("SHOP_AGAIN", "other", "must be the name again");
}

#[test]
fn a_rule_of_the_whole_struct_names_its_group() {
    let mistakes = mistakes(&[("SHOP_LOW", "8")]);
    assert_eq!(mistakes[0].to_string(), "SHOP_*: does not fulfil the rule `low_is_below_high`");
}

#[test]
fn a_list_of_rules_reports_each() {
    let mistakes = mistakes(&[("SHOP_EVEN", "4243")]);
    assert_eq!(mistakes.len(), 2);
}
