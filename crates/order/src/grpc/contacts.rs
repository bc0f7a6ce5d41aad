//! Contacts: found or registered by phone, amended, asked for consent.

use nexus_es::seal::SealError;
use nexus_es::{Cause, HandleError, Positions, Receipt, derived_id};
use nexus_proto::common::v1::Consent;
use nexus_proto::order::v1 as proto;
use nexus_runtime::caller::Caller;
use nexus_runtime::reply::{replayed_if, reply};
use nexus_runtime::{Violations, status};
use tonic::{Request, Response, Status};

use super::parse::{self, Draft};
use super::{Answer, Api, PATIENCE, answers, refusals};
use crate::domain::contact::{Card, Command, Contact, Refusal};
use crate::domain::phone_claim;
use crate::processes::erase_contact;
use crate::wire::SERVICE;
use crate::{personal, phone, views};

pub(super) fn unsealed(error: SealError) -> Status {
    match error {
        SealError::Store(_) => status::broken("the key store does not answer", error),
        SealError::Broken { .. } | SealError::UnknownMaster { .. } | SealError::Random => {
            status::internal(&error)
        }
    }
}

/// A contact as an order needs it.
pub(super) struct Known {
    pub(super) contact_id: String,
    pub(super) language: String,
    pub(super) profile: proto::ContactProfile,
}

/// The contact with this id.
pub(super) async fn known(api: &Api, contact_id: &str) -> Result<Known, Status> {
    let read = api.contacts.read(contact_id, Contact::clone).await;
    let (_, contact) = read.map_err(|error| refusals::of_contact(contact_id, error))?;
    let missing = || status::invalid_field("contact_id", "is no contact that we know");
    if contact.erased {
        return Err(status::invalid_field("contact_id", "is a contact that was erased"));
    }
    let card = contact.card.ok_or_else(missing)?;
    opened(api, contact_id, &card).await?.ok_or_else(missing)
}

/// The contact of `card`; `None` when its key is gone.
async fn opened(api: &Api, contact_id: &str, card: &Card) -> Result<Option<Known>, Status> {
    let profile = personal::open_profile(&api.vault, &card.profile).await.map_err(unsealed)?;
    let (contact_id, language) = (contact_id.to_owned(), card.language.clone());
    Ok(profile.map(|profile| Known { contact_id, language, profile }))
}

/// The aggregate id of the claim of a phone.
fn claim_id(hash: &[u8]) -> String {
    hex::encode(hash)
}

/// Who has the phone with this hash.
async fn owner(api: &Api, claim: &str) -> Result<Option<String>, Status> {
    let read = api.claims.read(claim, |claim| claim.contact_id.clone()).await;
    read.map(|(_, owner)| owner).map_err(claim_failed)
}

fn claim_failed(error: HandleError<phone_claim::Refusal>) -> Status {
    status::of(error, |phone_claim::Refusal::Taken { .. }| {
        let sentence = "the phone belongs to another contact: find that one by its phone, or give \
            another phone";
        status::already_exists("PHONE_TAKEN", sentence)
    })
}

/// The contact that has the draft's phone, or a new one with the id `new_id`; and where the log
/// stands, with `None` for a contact that was there already.
pub(super) async fn find_or_register(
    api: &Api,
    draft: &Draft,
    new_id: String,
    cause: &Cause,
) -> Result<(Known, Option<Receipt>), Status> {
    if draft.profile.phone.is_empty() {
        let receipt = register(api, draft, Vec::new(), &new_id, cause.clone()).await?;
        return Ok((of_draft(draft, new_id), Some(receipt)));
    }
    let hash = phone::hmac(&api.phone_key, &draft.profile.phone);
    let claim = claim_id(&hash);
    let _alone = match api.claiming.get(usize::from(hash.first().copied().unwrap_or_default())) {
        Some(lock) => Some(lock.lock().await),
        None => None,
    };
    let mut owner = owner(api, &claim).await?;
    if owner.is_none() {
        let ours = phone_claim::Command::Claim { contact_id: new_id.clone() };
        // Side by side: a claim without its contact is mended below by whoever meets it.
        let (claimed, registered) = tokio::join!(
            api.claims.execute(&claim, ours, cause.clone()),
            register(api, draft, hash.clone(), &new_id, cause.clone()),
        );
        match claimed {
            Ok(_) => return Ok((of_draft(draft, new_id), Some(registered?))),
            // Another replica was faster; our half-made contact has no phone and harms nobody.
            Err(HandleError::Refused(phone_claim::Refusal::Taken { by })) => owner = Some(by),
            Err(error) => return Err(claim_failed(error)),
        }
    }
    let owner = owner.unwrap_or_else(|| new_id.clone());
    let read = api.contacts.read(&owner, |contact| contact.card.clone()).await;
    let (_, card) = read.map_err(|error| refusals::of_contact(&owner, error))?;
    if let Some(card) = card {
        if let Some(known) = opened(api, &owner, &card).await? {
            return Ok((known, None));
        }
        forget_again(api, &owner, &card, cause).await?;
        let ours = phone_claim::Command::Claim { contact_id: new_id.clone() };
        api.claims.execute(&claim, ours, cause.clone()).await.map_err(claim_failed)?;
        let receipt = register(api, draft, hash, &new_id, cause.clone()).await?;
        return Ok((of_draft(draft, new_id), Some(receipt)));
    }
    let receipt = register(api, draft, hash, &owner, cause.clone()).await?;
    Ok((of_draft(draft, owner), Some(receipt)))
}

/// Records an erasure that the log does not know: a backup from before brought the events back, the
/// erase ledger keeps the key away. The phone is then free for a new contact.
async fn forget_again(api: &Api, id: &str, card: &Card, cause: &Cause) -> Result<(), Status> {
    let command_id = derived_id(&["forget again", id, &cause.command_id.to_string()]);
    let cause = Cause { command_id, ..cause.clone() };
    let reason = "erased before a backup was restored".to_owned();
    let done = api.contacts.execute(id, Command::Erase { reason }, cause.clone()).await;
    done.map_err(|error| refusals::of_contact(id, error))?;
    let forgotten =
        erase_contact::forget(&api.vault, &api.claims, id, &card.phone_hmac, cause).await;
    forgotten.map_err(|trouble| status::broken("an erased contact's phone is not free", trouble))
}

fn of_draft(draft: &Draft, contact_id: String) -> Known {
    Known { contact_id, language: draft.language.clone(), profile: draft.profile.clone() }
}

async fn register(
    api: &Api,
    draft: &Draft,
    phone_hmac: Vec<u8>,
    contact_id: &str,
    cause: Cause,
) -> Result<Receipt, Status> {
    let profile = personal::seal_profile(&api.vault, contact_id, &draft.profile).await;
    let card = Card {
        phone_hmac,
        profile: profile.map_err(unsealed)?,
        external_reference: draft.external_reference.clone(),
        language: draft.language.clone(),
    };
    let command = Command::Register { card, consents: draft.consents.clone() };
    let done = api.contacts.execute(contact_id, command, cause).await;
    done.map_err(|error| refusals::of_contact(contact_id, error))
}

/// The contact after a call.
async fn after(api: &Api, contact_id: &str, receipt: &Receipt) -> Result<proto::Contact, Status> {
    let position = Positions::one(SERVICE, receipt.position);
    if !receipt.replayed && api.views.wait_for(&position, PATIENCE).await.is_ok() {
        return read(api, contact_id, position.to_string()).await;
    }
    let past = api.history.contact(contact_id, receipt.version).await;
    let contact =
        past.map_err(|error| status::broken("the contact's history cannot be read", error))?;
    Ok(proto::Contact { position: position.to_string(), ..contact })
}

async fn read(api: &Api, contact_id: &str, position: String) -> Result<proto::Contact, Status> {
    let found = views::contacts::by_id(&api.views.pool(), contact_id).await;
    let found = found.map_err(answers::unreadable)?;
    let contact = found.ok_or_else(|| status::not_found("contact", contact_id))?;
    Ok(proto::Contact { position, ..contact })
}

pub(super) async fn create(
    api: &Api,
    request: Request<proto::CreateContactRequest>,
) -> Answer<proto::Contact> {
    const RPC: &str = "CreateContact";
    let caller = Caller::of(&request)?;
    let asked = request.into_inner();
    let new_id = caller.new_id(RPC);
    let cause = caller.cause(RPC, &asked);
    match api.contacts.execute(&new_id, Command::Recall, cause.clone()).await {
        Ok(receipt) => return Ok(reply(&receipt, after(api, &new_id, &receipt).await?)),
        Err(HandleError::Refused(Refusal::NothingToRecall)) => {}
        Err(error) => return Err(refusals::of_contact(&new_id, error)),
    }
    let mut wrong = Violations::default();
    let draft = parse::draft(&mut wrong, "", &asked, &api.rules);
    wrong.done()?;
    let (known, receipt) = find_or_register(api, &draft, new_id, &cause).await?;
    let Some(receipt) = receipt else {
        let position = api.views.positions().to_string();
        let found = read(api, &known.contact_id, position).await?;
        return Ok(replayed_if(false, proto::Contact { existing: true, ..found }));
    };
    Ok(reply(&receipt, after(api, &known.contact_id, &receipt).await?))
}

pub(super) async fn get(
    api: &Api,
    request: Request<proto::GetContactRequest>,
) -> Answer<proto::Contact> {
    Caller::of(&request)?;
    let asked = request.into_inner();
    answers::reach(api, &asked.min_position).await?;
    let position = api.views.positions().to_string();
    Ok(Response::new(read(api, &asked.contact_id, position).await?))
}

pub(super) async fn find(
    api: &Api,
    request: Request<proto::FindContactRequest>,
) -> Answer<proto::Contact> {
    Caller::of(&request)?;
    let asked = request.into_inner();
    let mut wrong = Violations::default();
    if asked.phone.trim().is_empty() {
        wrong.add("phone", "is required");
    }
    let e164 = parse::phone(&mut wrong, "phone", &asked.phone, &api.rules);
    wrong.done()?;
    answers::reach(api, &asked.min_position).await?;
    let owner = owner(api, &claim_id(&phone::hmac(&api.phone_key, &e164))).await?;
    // The phone itself stays out of the message: it ends up in logs.
    let owner = owner.ok_or_else(|| status::not_found("contact", "with this phone"))?;
    let position = api.views.positions().to_string();
    Ok(Response::new(read(api, &owner, position).await?))
}

pub(super) async fn record_consent(
    api: &Api,
    request: Request<proto::RecordConsentRequest>,
) -> Answer<proto::Contact> {
    let caller = Caller::of(&request)?;
    let asked = request.into_inner();
    let mut wrong = Violations::default();
    let said = Consent {
        channel: asked.channel.clone(),
        granted: asked.granted,
        source: asked.source.clone(),
        recorded_at: String::new(),
    };
    let consent = parse::consent(&mut wrong, "", &said);
    wrong.done()?;
    let cause = caller.checked_cause(&api.views, "RecordConsent", &asked).await?;
    let id = asked.contact_id.as_str();
    let done = api.contacts.execute(id, Command::RecordConsent(consent), cause).await;
    let receipt = done.map_err(|error| refusals::of_contact(id, error))?;
    Ok(reply(&receipt, after(api, id, &receipt).await?))
}

pub(super) async fn erase(
    api: &Api,
    request: Request<proto::EraseContactRequest>,
) -> Answer<proto::Contact> {
    let caller = Caller::of(&request)?;
    let asked = request.into_inner();
    let mut wrong = Violations::default();
    let reason = wrong.text("reason", &asked.reason, 200);
    wrong.done()?;
    let id = asked.contact_id.as_str();
    let cause = caller.checked_cause(&api.views, "EraseContact", &asked).await?;
    let done = api.contacts.execute(id, Command::Erase { reason }, cause.clone()).await;
    let receipt = done.map_err(|error| refusals::of_contact(id, error))?;
    // The process does it too, should we end here; whoever is answered can rely on it.
    let read = api.contacts.read(id, |contact| contact.card.clone()).await;
    let (_, card) = read.map_err(|error| refusals::of_contact(id, error))?;
    let hash = card.map(|card| card.phone_hmac).unwrap_or_default();
    erase_contact::forget(&api.vault, &api.claims, id, &hash, cause).await.map_err(|trouble| {
        status::broken("the contact is recorded as erased, its key still has to go", trouble)
    })?;
    Ok(reply(&receipt, after(api, id, &receipt).await?))
}

pub(super) async fn amend(
    api: &Api,
    request: Request<proto::AmendContactRequest>,
) -> Answer<proto::Contact> {
    let caller = Caller::of(&request)?;
    let asked = request.into_inner();
    let id = asked.contact_id.as_str();
    let cause = caller.checked_cause(&api.views, "AmendContact", &asked).await?;
    // A repeat must not claim a phone again that was given up since.
    match api.contacts.execute(id, Command::Recall, cause.clone()).await {
        Ok(receipt) => return Ok(reply(&receipt, after(api, id, &receipt).await?)),
        Err(HandleError::Refused(Refusal::NothingToRecall)) => {}
        Err(error) => return Err(refusals::of_contact(id, error)),
    }
    let read = api.contacts.read(id, Contact::clone).await;
    let (_, contact) = read.map_err(|error| refusals::of_contact(id, error))?;
    let Some(card) = contact.card.filter(|_| !contact.erased) else {
        return Err(status::not_found("contact", id));
    };
    let profile = personal::open_profile(&api.vault, &card.profile).await.map_err(unsealed)?;
    let amended = amended(api, &asked, &card, &profile.unwrap_or_default())?;
    let phone = amended.profile.phone.as_str();
    let hash = if phone.is_empty() { Vec::new() } else { phone::hmac(&api.phone_key, phone) };
    if hash != card.phone_hmac && !hash.is_empty() {
        let command = phone_claim::Command::Claim { contact_id: id.to_owned() };
        api.claims.execute(&claim_id(&hash), command, cause.clone()).await.map_err(claim_failed)?;
    }
    let profile = if amended.profile_changed {
        personal::seal_profile(&api.vault, id, &amended.profile).await.map_err(unsealed)?
    } else {
        card.profile.clone()
    };
    let next = Card {
        phone_hmac: hash.clone(),
        profile,
        external_reference: amended.external_reference,
        language: amended.language,
    };
    let done = api.contacts.execute(id, Command::Amend { card: next }, cause.clone()).await;
    let receipt = done.map_err(|error| refusals::of_contact(id, error))?;
    if hash != card.phone_hmac && !card.phone_hmac.is_empty() {
        let contact_id = id.to_owned();
        let command = phone_claim::Command::Release { contact_id, reason: "amended" };
        let released = api.claims.execute(&claim_id(&card.phone_hmac), command, cause).await;
        released.map_err(claim_failed)?;
    }
    Ok(reply(&receipt, after(api, id, &receipt).await?))
}

/// A contact after its amendment.
struct Amended {
    profile: proto::ContactProfile,
    profile_changed: bool,
    external_reference: String,
    language: String,
}

fn amended(
    api: &Api,
    asked: &proto::AmendContactRequest,
    card: &Card,
    before: &proto::ContactProfile,
) -> Result<Amended, Status> {
    let mut wrong = Violations::default();
    let mut profile = before.clone();
    if let Some(name) = &asked.name {
        profile.name = wrong.text("name", name, 200);
    }
    if let Some(phone) = &asked.phone {
        profile.phone = parse::phone(&mut wrong, "phone", phone, &api.rules);
    }
    if let Some(email) = &asked.email {
        profile.email = parse::email(&mut wrong, "email", email);
    }
    if !asked.addresses.is_empty() {
        let addresses = asked.addresses.iter().enumerate();
        let addresses = addresses.map(|(nth, it)| {
            parse::address(&mut wrong, &format!("addresses[{nth}]"), it, &api.rules)
        });
        profile.addresses = addresses.collect();
    }
    let external_reference = match &asked.external_reference {
        Some(text) => wrong.optional_text("external_reference", text, 128),
        None => card.external_reference.clone(),
    };
    let language = match &asked.language {
        Some(text) => parse::language(&mut wrong, "language", text, &api.rules),
        None => card.language.clone(),
    };
    if profile.phone.is_empty() && external_reference.is_empty() {
        wrong.add("phone", "is required, or an external_reference");
    }
    wrong.done()?;
    Ok(Amended { profile_changed: profile != *before, profile, external_reference, language })
}
