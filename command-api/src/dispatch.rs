//! A command of the domain, as a saga sends it, becomes a plan. The saga's id for it is all that tells two of them apart.

use domain::command::StockCommand;
use domain::ids::{ReservationId, Tenant};
use domain::payment::Payment;
use domain::reservation::{self, Reservation};
use domain::stock::Stock;
use domain::{Command, stream};
use schemas::Metadata;
use uuid::Uuid;

use crate::claims::{self, Known};
use crate::execute::{Done, Error, Executor, Plan, Request, fingerprint};
use crate::payments;

impl Executor {
    /// Runs a command that a process within Daybook sends. Sent again under the same id it has the same outcome.
    ///
    /// # Errors
    /// If there is no outcome (yet); see [`Error`].
    pub async fn execute_command(
        &self,
        tenant: &Tenant,
        command_id: Uuid,
        command: Command,
        metadata: Metadata,
    ) -> Result<Done, Error> {
        self.run_command(tenant, command_id, command, metadata, false).await
    }

    pub(crate) async fn run_command(
        &self,
        tenant: &Tenant,
        command_id: Uuid,
        command: Command,
        metadata: Metadata,
        while_asked: bool,
    ) -> Result<Done, Error> {
        let request = Request {
            tenant: tenant.clone(),
            command_id,
            // The id is made from the intent and stands for it. The command is made anew each time it is sent, by a later version of
            // Daybook maybe, and must find its first outcome all the same.
            fingerprint: fingerprint(&[tenant.as_str().as_bytes(), command_id.as_bytes()]),
            metadata,
            if_match: None,
            dry_run: false,
            while_asked,
        };
        match command {
            Command::Order { order_id, command } => {
                let plan = |again| claims::order_unseen(Known { executor: self, tenant, again }, order_id, &command);
                self.execute_planned(request, plan).await
            }
            Command::Payment { payment_id, command } => {
                let plan = Plan::new().and_unseen::<Payment>(stream::payment(payment_id), command);
                self.execute(request, plan).await
            }
            Command::Capture { order_id, payment_id, command } => {
                self.execute(request, payments::capture(order_id, payment_id, command)).await
            }
            Command::Inventory { reservation, stock } => self.execute(request, inventory(reservation, stock)).await,
        }
    }
}

fn inventory(reservation: Option<(ReservationId, reservation::Command)>, stock: Vec<StockCommand>) -> Plan {
    let plan = match reservation {
        Some((id, command)) => Plan::new().and_unseen::<Reservation>(stream::reservation(id), command),
        None => Plan::new(),
    };
    stock.into_iter().fold(plan, |plan, part| {
        let stream = stream::stock(&part.location, &part.sku);
        plan.and_unseen::<Stock>(stream, part.command)
    })
}
