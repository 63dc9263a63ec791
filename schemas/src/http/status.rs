//! The status fields of an order and of what belongs to it, as the wire writes them. They decide nothing: the domain's folds do.

use domain::order::event::PaymentStatus as DomainPaymentStatus;
use domain::order::state;

use super::mirror::mirror;

mirror! {
    /// How far an order is.
    OrderStatus of state::Status { Pending, Confirmed, Completed, Rejected, Cancelled }

    /// Where an order's stock stands.
    StockStatus of state::StockStatus { None, Reserved, PartReserved, Backordered, Released }

    /// Where an order's money stands.
    PaymentStatus of DomainPaymentStatus {
        None, Authorised, PartCaptured, Captured, PartRefunded, Refunded, Voided, Declined, Unknown,
    }

    /// Where an order's goods stand.
    FulfilmentStatus of state::FulfilmentStatus {
        Unfulfilled, PartShipped, Shipped, PartDelivered, Delivered, Cancelled,
    }

    /// Where an order's returns stand.
    ReturnStatus of state::ReturnStatus { None, Requested, PartReturned, Returned }

    /// How far a shipment is.
    ShipmentStatus of state::ShipmentStatus { Requested, Withdrawn, Dispatched, Refused, Delivered, Lost }

    /// What to do about lost units: refund them, send others, or decide later.
    AfterLoss of domain::order::event::AfterLoss { Refund, Resend, Later }

    /// How far a return is.
    ReturnStage of state::ReturnStage { Requested, Declined, PartReceived, Received }

    /// Why an order was rejected.
    RejectReason of domain::order::event::RejectReason { OutOfStock, PaymentDeclined, Expired, Fraud }

    /// How far a payment is.
    PaymentStage of domain::payment::state::Stage {
        Authorising, AuthoriseUnknown, Authorised, Declined, Capturing, CaptureUnknown, PartCaptured, Captured,
        Voiding, VoidUnknown, Voided, Expired, Raising, RaiseUnknown, Refunding, RefundUnknown, PartRefunded, Refunded,
    }

    /// How far a capture, a raise or a refund is at the provider.
    Progress of domain::payment::state::Progress { Requested, Done, Failed }

    /// What evidence says of an unknown outcome.
    Verdict of domain::payment::event::Verdict { Done, NotDone }

    /// When the money is captured: with each shipment, all of it at confirmation, or not by Daybook.
    Capture of domain::order::event::Capture { AtShipment, AtConfirmation, PayLater }

    /// How halves are rounded.
    Rounding of domain::money::Rounding { HalfEven, HalfUp }

    /// Who may read a note: the shop's people, or the customer as well.
    Visibility of domain::order::event::Visibility { Internal, Customer }

    /// The condition of a returned unit: back in stock, damaged, or announced but missing from the parcel.
    Disposition of domain::order::event::Disposition { Restock, Damaged, Missing }
}
