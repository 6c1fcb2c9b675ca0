"""x"""
def problems_of(rules, actions):
    return []
