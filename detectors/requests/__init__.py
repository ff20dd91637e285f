"""How clients ask: parameters of requests."""
