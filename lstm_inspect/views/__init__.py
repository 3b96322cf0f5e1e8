"""What a person sees: tables on a terminal, or as plain text where it is piped; and reports."""
