//! Limits over queues. Each limit that has a rule lies in a slot of its own, and queues lease from it: units of concurrency, and tokens.
//!
//! A script that works in a queue leaves questions, and whoever called it carries them to the limits' slots and the answers back.
//! A question has a number; an answer to any but the last is thrown away, and a later question says what the queue holds, so
//! a caller that dies in between costs two seconds and nothing else.
//!
//! A lease lasts 15 s, and is renewed every 2 s; without that the queue stops to use it after 10 s. What was not used for a second is given
//! back with the next renewal. While other queues wait, none keeps more than its share.
//!
//! How far a limit can be overshot:
//! - concurrency: not at all, unless no worker of a queue reached the limit's slot for 15 s: then by as many of that queue's jobs as go on;
//! - rate: a bucket never gives out more than its size and what flowed in; but a queue may use what it leased up to a second and a
//!   claim's length later. So in a time `t` at most `burst + count * t / period` begin, and for each queue what it had leased before: the
//!   most that one of its claims asks for.

use futures_util::future::join_all;

use super::RedisBackend;
use super::scripts::{GLOBAL_RULES, GRANT, LEASE, RULES};
use crate::Error;

/// Limit, number, units held, units and tokens wanted, tokens given back, rule.
pub(super) type Question = (Vec<u8>, u64, i64, i64, i64, i64, Vec<u8>);

/// Units, tokens, milliseconds for which they may be used, cap, milliseconds after which to ask again.
type Answer = (i64, i64, i64, i64, i64);

/// `s`, a limit and its rule; or `h`, a limit and for how long it is held, in milliseconds.
pub(super) type Rule = (String, Vec<u8>, Vec<u8>);

/// Rules that one script takes; as many limits as a platform has by name.
const RULES_AT_ONCE: usize = 250;

/// Limits that one script leases: a quarter of a millisecond.
const LIMITS_AT_ONCE: usize = 50;

impl RedisBackend {
    /// Carries questions to the limits' slots, and the answers back. Whether more may pass now.
    pub(super) async fn ask(&self, queue: &str, questions: Vec<Question>) -> Result<bool, Error> {
        // Limits lie on the nodes of a cluster as they come.
        let at_once = if self.redis.is_cluster() { 1 } else { LIMITS_AT_ONCE };
        let asked = questions.chunks(at_once).map(|some| self.lease(queue, some));
        let answers: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
        let mut has_more = false;
        for some in answers.chunks(RULES_AT_ONCE) {
            let call = some.iter().fold(
                self.on(&GRANT, queue),
                |call, ((limit, number, ..), (units, tokens, lease, cap, again))| {
                    call.arg(limit.as_slice())
                        .arg(number)
                        .arg(units)
                        .arg(tokens)
                        .arg(lease)
                        .arg(cap)
                        .arg(again)
                },
            );
            has_more |= self.run::<u64>(call).await? > 0;
        }
        Ok(has_more)
    }

    /// The questions that were answered, with their answers.
    async fn lease<'a>(&self, queue: &str, questions: &'a [Question]) -> Vec<(&'a Question, Answer)> {
        let keys: Vec<Vec<u8>> = questions.iter().map(|(limit, ..)| self.keys.limit(limit)).collect();
        let call = questions.iter().fold(
            LEASE.keys(keys).arg(queue),
            |call, (_, number, held, units, tokens, given, rule)| {
                call.arg(number).arg(held).arg(units).arg(tokens).arg(given).arg(rule.as_slice())
            },
        );
        match self.run::<Vec<Option<Answer>>>(call).await {
            Ok(answers) => {
                questions.iter().zip(answers).filter_map(|(one, answer)| Some((one, answer?))).collect()
            }
            Err(error) => {
                tracing::debug!(%error, queue, "limits could not be leased; they are asked for again");
                Vec::new()
            }
        }
    }

    /// Copies all rules into a queue that may be new.
    pub(super) async fn copy_rules(&self, queue: &str) -> Result<(), Error> {
        let all = self.all_rules().await?;
        for some in all.chunks(RULES_AT_ONCE) {
            let call = some.iter().fold(self.on(&RULES, queue), |call, (kind, limit, value)| {
                call.arg(kind).arg(limit.as_slice()).arg(value.as_slice())
            });
            let _: i64 = self.run(call).await?;
        }
        Ok(())
    }

    pub(super) async fn all_rules(&self) -> Result<Vec<Rule>, Error> {
        self.run(GLOBAL_RULES.keys([self.keys.rules()]).arg("all")).await
    }
}
