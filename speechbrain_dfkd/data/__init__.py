"""From folders of recordings to the batches a Brain trains on."""

# Nothing is imported here: worker processes that check audio need no torch.
