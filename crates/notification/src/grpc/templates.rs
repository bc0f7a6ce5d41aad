//! The words of each milestone and language.

use nexus_proto::notification::v1 as proto;
use nexus_runtime::caller::Caller;
use nexus_runtime::page::Page;
use nexus_runtime::reply::reply;
use nexus_runtime::time::rfc3339;
use nexus_runtime::{Violations, status};
use tonic::{Request, Response, Status};

use super::{MAX_NAME, Notification, OF_TEMPLATES, only, unreadable};
use crate::domain::template::{Command, Template, VARIABLES, Words, is_well_formed, marks};
use crate::domain::{ChannelKind, Language, Milestone, template_id};
use crate::views::templates;

/// Longest text of a template at WhatsApp.
const MAX_BODY: usize = 1024;

impl Notification {
    pub(super) async fn put_words(
        &self,
        request: Request<proto::PutTemplateRequest>,
    ) -> Result<Response<proto::Template>, Status> {
        let caller = Caller::of(&request)?;
        only(&caller, &OF_TEMPLATES)?;
        let request = request.into_inner();
        let cause = caller.cause("PutTemplate", &request);
        let at_ms = cause.occurred_at_ms;
        let words = words(request)?;
        let id = template_id(words.channel, words.milestone, words.language);
        let read =
            |template: &Template, events: &[_]| (template.words().cloned(), !events.is_empty());
        let done = self.0.templates.execute_then(&id, Command::Put(words), cause, read).await;
        let (receipt, (stored, is_news)) =
            done.map_err(|error| status::of(error, |no| match no {}))?;
        let position = self.seen(&receipt).await?;
        let stored = stored.ok_or_else(|| status::not_found("template", &id))?;
        let seen = templates::get(&self.0.views, &id).await.map_err(unreadable)?;
        let is_fresh = is_news && !receipt.replayed;
        let updated_at_ms = if is_fresh { at_ms } else { seen.map_or(at_ms, |(_, at_ms)| at_ms) };
        Ok(reply(&receipt, to_proto(stored, Some(updated_at_ms), position)))
    }

    pub(super) async fn read_template(
        &self,
        request: proto::GetTemplateRequest,
    ) -> Result<proto::Template, Status> {
        let mut violations = Violations::default();
        let milestone = milestone(&mut violations, &request.milestone);
        let language = language(&mut violations, &request.language);
        violations.done()?;
        let position = self.reach(&request.min_position).await?;
        self.template(milestone, language, position).await
    }

    pub(super) async fn listed_templates(
        &self,
        request: proto::ListTemplatesRequest,
    ) -> Result<proto::ListTemplatesResponse, Status> {
        let page = Page::parse(request.page_size, &request.page_token)?;
        let position = self.reach(&request.min_position).await?;
        let after = page.after.as_deref().and_then(<[String]>::first);
        let mut rows = Vec::new();
        for milestone in Milestone::ALL {
            for language in Language::ALL {
                let key = format!("{}~{}", rank(milestone), language.as_str());
                if after.is_none_or(|after| key > *after) {
                    rows.push((key, self.template(milestone, language, position.clone()).await?));
                }
            }
        }
        let next_page_token = page.cut(&mut rows, |(key, _)| vec![key.clone()]);
        let templates = rows.into_iter().map(|(_, template)| template).collect();
        Ok(proto::ListTemplatesResponse { templates, next_page_token })
    }

    /// The words that were set, else those that are there from the start.
    async fn template(
        &self,
        milestone: Milestone,
        language: Language,
        position: String,
    ) -> Result<proto::Template, Status> {
        let id = template_id(ChannelKind::WhatsApp, milestone, language);
        let put = templates::get(&self.0.views, &id).await.map_err(unreadable)?;
        Ok(match put {
            Some((words, at_ms)) => to_proto(words, Some(at_ms), position),
            None => to_proto(Words::built_in(milestone, language), None, position),
        })
    }
}

fn rank(milestone: Milestone) -> usize {
    Milestone::ALL.iter().take_while(|other| **other < milestone).count()
}

fn milestone(violations: &mut Violations, text: &str) -> Milestone {
    let words = Milestone::ALL.map(Milestone::as_str);
    violations.one_of("milestone", text, &words);
    Milestone::parse(text).unwrap_or(Milestone::Shipped)
}

fn language(violations: &mut Violations, text: &str) -> Language {
    let words = Language::ALL.map(Language::as_str);
    violations.one_of("language", text, &words);
    Language::parse(text).unwrap_or(Language::Ar)
}

/// Parses the words of a request, all violations at once.
fn words(request: proto::PutTemplateRequest) -> Result<Words, Status> {
    let mut violations = Violations::default();
    let milestone = milestone(&mut violations, &request.milestone);
    let language = language(&mut violations, &request.language);
    let channel = request.channel.unwrap_or_else(|| ChannelKind::WhatsApp.as_str().to_owned());
    violations.one_of("channel", &channel, &[ChannelKind::WhatsApp.as_str()]);
    let provider_template =
        violations.text("provider_template", &request.provider_template, MAX_NAME);
    let provider_language =
        request.provider_language.unwrap_or_else(|| language.as_str().to_owned());
    let provider_language = violations.text("provider_language", &provider_language, 15);
    let body = violations.text("body", &request.body, MAX_BODY);
    if !is_well_formed(&body) {
        violations.add("body", "has a {{ without its }}, or the other way round");
    }
    let in_body = marks(&body);
    for name in in_body.iter().chain(&request.variables) {
        if !VARIABLES.contains(&name.as_str()) {
            let known = VARIABLES.join(", ");
            violations.add("variables", format!("has \"{name}\", known are: {known}"));
        }
    }
    violations.done()?;
    let variables = if request.variables.is_empty() { in_body } else { request.variables };
    Ok(Words {
        milestone,
        language,
        channel: ChannelKind::WhatsApp,
        provider_template,
        provider_language,
        body,
        variables,
        enabled: request.enabled.unwrap_or(true),
    })
}

fn to_proto(words: Words, updated_at_ms: Option<i64>, position: String) -> proto::Template {
    proto::Template {
        milestone: words.milestone.as_str().to_owned(),
        language: words.language.as_str().to_owned(),
        channel: words.channel.as_str().to_owned(),
        provider_template: words.provider_template,
        provider_language: words.provider_language,
        body: words.body,
        variables: words.variables,
        enabled: words.enabled,
        updated_at: updated_at_ms.map(rfc3339).unwrap_or_default(),
        position,
    }
}
