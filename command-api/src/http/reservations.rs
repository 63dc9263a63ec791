//! Reservations without an order. The items of a reservation never change, so the stock to prolong or release is read
//! from it beforehand.

use axum::extract::State;
use axum::http::StatusCode;
use domain::ids::ReservationId;
use domain::reservation::{self, Reservation};
use domain::stock::Stock;
use domain::time::Timestamp;
use domain::{Command, stream};
use schemas::http::reservation::{ExtendReservation, OpenReservation, ReservationBody, prolong, release as let_go};

use super::Api;
use super::answer::{Answer, Place};
use super::body::NoBody;
use super::describe::{CommandHeaders, CommandQuery, answers};
use super::extract::{Ask, How, Id};
use super::problem::Failure;
use crate::execute::Plan;

answers! {
    OpenAnswers: [201] "ReservationBody", [
        "id-taken", "invalid-items", "invalid-quantity", "out-of-stock", "reservation-ended", "reservation-exists",
    ];
    ExtendAnswers: [200] "ReservationBody", [
        "lives-too-long", "not-later", "reservation-ended", "reservation-not-found", "reservation-ordered",
    ];
    EndAnswers: [200] "ReservationBody", ["reservation-ended", "reservation-not-found", "reservation-ordered"];
}

/// Hold stock: all of it or none.
#[utoipa::path(post, path = "/v1/reservations", tag = "reservations", request_body = OpenReservation,
    params(CommandHeaders, CommandQuery), responses(OpenAnswers))]
pub(super) async fn open(State(api): State<Api>, ask: Ask<OpenReservation>) -> Result<Answer, Failure> {
    let (names, defaults) = (ask.how.names(), &api.settings().defaults);
    let (id, command) = ask.body.try_into_command(names, defaults, api.now())?;
    api.reservation(&ask.how, id, command, StatusCode::CREATED).await
}

/// Hold stock longer.
#[utoipa::path(patch, path = "/v1/reservations/{id}", tag = "reservations", request_body = ExtendReservation,
    params(("id" = uuid::Uuid, Path), CommandHeaders, CommandQuery), responses(ExtendAnswers))]
pub(super) async fn extend(
    State(api): State<Api>,
    Id(id): Id<ReservationId>,
    ask: Ask<ExtendReservation>,
) -> Result<Answer, Failure> {
    let command = match api.load_reservation(&ask.how, id).await? {
        Reservation::Open(opened) => prolong(&opened, ask.body.expires_at),
        Reservation::Absent | Reservation::Ended { .. } => never_longer(id),
    };
    api.reservation(&ask.how, id, command, StatusCode::OK).await
}

/// Release the reserved units.
#[utoipa::path(delete, path = "/v1/reservations/{id}", tag = "reservations",
    params(("id" = uuid::Uuid, Path), CommandHeaders, CommandQuery), responses(EndAnswers))]
pub(super) async fn release(
    State(api): State<Api>,
    Id(id): Id<ReservationId>,
    ask: Ask<NoBody>,
) -> Result<Answer, Failure> {
    let close = reservation::Command::Close { end: reservation::End::Released };
    let command = match api.load_reservation(&ask.how, id).await? {
        Reservation::Open(opened) => let_go(&opened),
        Reservation::Ended { .. } => alone(id, close),
        Reservation::Absent => never_longer(id),
    };
    api.reservation(&ask.how, id, command, StatusCode::OK).await
}

fn alone(id: ReservationId, command: reservation::Command) -> Command {
    Command::Inventory { reservation: Some((id, command)), stock: Vec::new() }
}

/// A command that a reservation in any state refuses: it records that there is none, or that it has ended, and can
/// never take effect even if the reservation is opened at this moment.
fn never_longer(id: ReservationId) -> Command {
    let expires_at = Timestamp::default();
    alone(id, reservation::Command::Prolong { expires_at })
}

impl Api {
    async fn load_reservation(&self, how: &How, id: ReservationId) -> Result<Reservation, Failure> {
        let name = stream::reservation(id);
        let loaded = self.executor().load::<Reservation>(&how.caller.tenant, &name).await;
        let (found, _) = loaded.map_err(|error| Failure::unanswered(&error, how.request_id.as_deref()))?;
        Ok((*found).clone())
    }

    /// Runs a command to a reservation and its stock as one batch, and answers with the reservation.
    async fn reservation(
        &self,
        how: &How,
        id: ReservationId,
        command: Command,
        status: StatusCode,
    ) -> Result<Answer, Failure> {
        let name = stream::reservation(id);
        let Command::Inventory { reservation: Some((_, own)), stock } = command else {
            return Err(Failure::internal(how.request_id.as_deref(), &"a reservation's command is to inventory"));
        };
        let plan = stock.into_iter().fold(Plan::new().and::<Reservation>(name.clone(), own), |plan, part| {
            let stream = stream::stock(&part.location, &part.sku);
            plan.and_unseen::<Stock>(stream, part.command)
        });
        let done = self.run(how, &name, id.0, plan).await?;
        if how.dry_run {
            return self.dry_run(how, &done);
        }
        let Some((name, version, found)) = done.first::<Reservation>() else {
            return Err(Failure::internal(how.request_id.as_deref(), &"the answer lacks its reservation"));
        };
        let mut place = Place::of(&done, name);
        match ReservationBody::new(&found, version) {
            Some(body) => {
                place.location = Some(format!("/v1/reservations/{}", body.reservation_id));
                self.answer(how, status, &body, place)
            }
            None => Err(Failure::internal(how.request_id.as_deref(), &"the answer lacks its reservation")),
        }
    }
}
