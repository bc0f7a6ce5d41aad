//! Words can be set, read and listed; wrong ones are refused field by field.

use nexus_proto::notification::v1 as proto;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::world::{World, cause};

fn put(body: &str) -> proto::PutTemplateRequest {
    proto::PutTemplateRequest {
        milestone: "shipped".to_owned(),
        language: "en".to_owned(),
        provider_template: "shop_shipped".to_owned(),
        provider_language: Some("en_US".to_owned()),
        body: body.to_owned(),
        ..proto::PutTemplateRequest::default()
    }
}

async fn set(world: &World, request: proto::PutTemplateRequest) -> Result<proto::Template, Status> {
    let request = world.channels.request(request, &cause("story"));
    let answer = world.channels.notification().put_template(request).await;
    answer.map(tonic::Response::into_inner)
}

async fn read(world: &World, milestone: &str, language: &str) -> Result<proto::Template, Status> {
    let request = proto::GetTemplateRequest {
        milestone: milestone.to_owned(),
        language: language.to_owned(),
        min_position: String::new(),
    };
    let request = world.channels.question(request, "test", "");
    let answer = world.channels.notification().get_template(request).await;
    answer.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn words_are_there_from_the_start_and_can_be_replaced() {
    let world = World::start().await;
    let first = read(&world, "shipped", "en").await.unwrap();
    assert_eq!(first.provider_template, "order_shipped");
    assert_eq!(first.variables, ["first_name", "order_number", "tracking_number"]);
    assert!(first.enabled);

    let body = "Dear {{name}}, {{order_number}} left.";
    let stored = set(&world, put(body)).await.unwrap();
    assert_eq!(stored.variables, ["name", "order_number"]);
    assert!(!stored.updated_at.is_empty() && !stored.position.is_empty());
    let seen = read(&world, "shipped", "en").await.unwrap();
    assert_eq!((seen.body.as_str(), seen.provider_language.as_str()), (body, "en_US"));

    let request = proto::ListTemplatesRequest { page_size: 4, ..Default::default() };
    let request = world.channels.question(request, "test", "");
    let page = world.channels.notification().list_templates(request).await.unwrap().into_inner();
    assert_eq!(page.templates.len(), 4);
    let request =
        proto::ListTemplatesRequest { page_token: page.next_page_token, ..Default::default() };
    let request = world.channels.question(request, "test", "");
    let page = world.channels.notification().list_templates(request).await.unwrap().into_inner();
    assert_eq!((page.templates.len(), page.next_page_token.as_str()), (2, ""));
}

#[tokio::test]
async fn everything_that_is_wrong_with_words_is_said_at_once() {
    let world = World::start().await;
    let wrong = proto::PutTemplateRequest {
        milestone: "sold".to_owned(),
        language: "fr".to_owned(),
        provider_template: " ".to_owned(),
        channel: Some("pigeon".to_owned()),
        body: "Hi {{nickname}".to_owned(),
        variables: vec!["shoe_size".to_owned()],
        ..proto::PutTemplateRequest::default()
    };
    let refused = set(&world, wrong).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let details = refused.get_details_bad_request().unwrap();
    let mut fields: Vec<_> = details.field_violations.into_iter().map(|v| v.field).collect();
    fields.dedup();
    let expected = ["milestone", "language", "channel", "provider_template", "body", "variables"];
    assert_eq!(fields, expected);
    assert!(read(&world, "sold", "en").await.is_err());
}
