//! What the caller may do, and why: for the buttons of a page, and for the administrator who wonders.

use shared_service::prelude::*;

/// The permissions in question.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Questions {
    #[validate(length(min = 1, max = 100))]
    permissions: Vec<String>,
}

/// The answers, in the order of the questions.
#[derive(Debug, Serialize)]
pub(crate) struct Answers {
    results: Vec<Answer>,
}

/// One answer.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    permission: String,
    allowed: bool,
    because: String,
}

pub(crate) async fn check(principal: Principal, Valid(Json(asked)): Valid<Json<Questions>>) -> Json<Answers> {
    let answer = |permission: String| {
        let explanation = principal.explain(&permission);
        Answer { allowed: explanation.is_allowed(), because: explanation.to_string(), permission }
    };
    Json(Answers { results: asked.permissions.into_iter().map(answer).collect() })
}
