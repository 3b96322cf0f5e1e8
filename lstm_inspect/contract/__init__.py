"""State dimensions under contract: reading contracts, holding models to them, renewing them."""

from lstm_inspect.contract.matching import check_contract
from lstm_inspect.contract.reading import Contract, expectations, is_contract, read_contract
from lstm_inspect.contract.states import check_states
from lstm_inspect.contract.writing import contract_of, renewed

__all__ = [
    "Contract",
    "check_contract",
    "check_states",
    "contract_of",
    "expectations",
    "is_contract",
    "read_contract",
    "renewed",
]
