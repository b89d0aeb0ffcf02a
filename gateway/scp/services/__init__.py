"""The services but C-STORE: Query/Retrieve and Modality Performed Procedure Step, as an SCP."""
